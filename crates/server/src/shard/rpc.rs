//! JSON-RPC on a connection.
use super::Driver;
use fanfare_core::model::{ErrorCode, Refusal};

impl Driver {
    pub(super) fn on_rpc(&mut self, slot: u32, _text: &str) {
        self.refuse_frame(slot, &Refusal::new(ErrorCode::Internal, "stub"));
    }
    pub(super) fn refuse_rpc(&mut self, slot: u32, _text: &str, refusal: &Refusal) {
        self.refuse_frame(slot, refusal);
    }
}
