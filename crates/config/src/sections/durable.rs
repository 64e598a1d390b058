//! What is kept: the store, files, webhooks, sketches.

use crate::engines::{FilesUrl, StoreUrl};
use crate::group::settings;
use crate::words::Durability;
use crate::{ByteSize, Feature};
use std::time::Duration;

settings! {
    /// Accounts, chat and direct messages at rest.
    pub struct Store in "store", cx: {
        /// SQLite or PostgreSQL.
        url: StoreUrl = StoreUrl::in_folder(&cx.data_dir);
            env "DATABASE_URL"; passwords; with Feature::Store; varies "`\"sqlite://{data_dir}/fanfare.db\"`",
        /// What an acknowledged message survives: a power cut (`power-safe`), a crash of the server (`process-safe`) or nothing (`memory`).
        durability: Durability = Durability::PowerSafe; with Feature::Store,
    }
}

settings! {
    /// Uploaded files.
    pub struct Files in "files", cx: {
        /// Where they are kept: a folder or an S3 bucket.
        url: FilesUrl = FilesUrl::in_folder(&cx.data_dir);
            passwords; with Feature::Files; varies "`\"file:{data_dir}/files\"`",
        /// Says that the folder of `files.url` is the same on every node of a cluster.
        shared: bool = false; with Feature::Files,
        /// Bytes one user may store.
        quota_bytes: ByteSize = ByteSize::mib(100); with Feature::Files,
        /// Files one user may store.
        quota_files: usize = 500; unit "files"; with Feature::Files,
        /// How long a file is kept that was attached to nothing.
        orphan_ttl: Duration = Duration::from_secs(24 * 3600); positive; with Feature::Files,
    }
}

settings! {
    /// Webhooks of chat channels.
    pub struct Webhooks in "webhooks", cx: {
        /// Lets them call addresses of this machine and of private networks.
        allow_private: bool = cx.pick(true, false); with Feature::Chat; varies "true in development, false in production",
    }
}

settings! {
    /// Shared sketches.
    pub struct Sketch in "sketch", cx: {
        /// Largest update a client may send.
        max_update_bytes: ByteSize = ByteSize::mib(1); positive; with Feature::Sketches,
    }
}
