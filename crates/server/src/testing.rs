//! A node in this process, for tests.

use crate::node::Node;
use crate::serve::start_foundations;
use crate::shard::Bell;
use fanfare_config::{Config, StoreUrl};
use fanfare_services::data_dir::DataDir;
use std::sync::Arc;

/// A node with one shard and the shard's bell; nobody drives the shard yet. Its store is in a folder of its own.
pub(crate) fn node(with: impl FnOnce(&mut Config)) -> (Arc<Node>, Bell) {
    let bell = Bell::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config { data_dir: folder.path().into(), ..Config::default() };
    config.store.url = StoreUrl::in_folder(folder.path());
    with(&mut config);
    let data = DataDir::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let address = ([127, 0, 0, 1], 80).into();
    // A test may itself run on a runtime, where blocking is refused.
    let base = std::thread::scope(|scope| {
        let start = || runtime.block_on(start_foundations(&config, &data, address, &Arc::default())).unwrap();
        scope.spawn(start).join().unwrap()
    });
    let handle = runtime.handle().clone();
    let node = Node::new(config, std::slice::from_ref(&bell), &[7; 32], handle, base).unwrap();
    // The node lives as long as the process.
    std::mem::forget((runtime, folder, data));
    (node, bell)
}
