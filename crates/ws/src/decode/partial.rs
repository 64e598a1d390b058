//! The unfinished state of one connection: a header, a frame, a message, and a control frame between its fragments.
//!
//! The bytes of a frame are copied as they arrive, unmasked, and checked at once as far as possible. Memory grows with
//! the bytes received, never with the announced length.

use super::head::{self, FrameHead, MAX_HEAD_BYTES, Started};
use super::{Event, Limits, utf8};
use crate::{OpCode, ProtocolError, deflate, mask};

/// The state between two calls. Exists only while something is unfinished or borrowed out.
#[derive(Debug, Default)]
pub(super) struct Partial {
    head: [u8; MAX_HEAD_BYTES],
    head_len: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    /// Payload of the control frame that is being read; such a frame may come between a message's fragments.
    control: Vec<u8>,
    lent: Ready,
}

/// A frame whose payload is not complete.
#[derive(Clone, Copy, Debug)]
struct Frame {
    head: FrameHead,
    read: usize,
}

/// A message whose last fragment is not complete, or that is borrowed out.
#[derive(Debug)]
struct Message {
    opcode: OpCode,
    compressed: bool,
    bytes: Vec<u8>,
    /// End of the last whole character that was checked; uncompressed text only.
    checked: usize,
    /// Headers and payloads of all frames begun so far.
    wire_bytes: usize,
}

/// The event that [`Partial::lend`] may return after an advance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ready {
    #[default]
    Nothing,
    Message,
    Control(OpCode),
}

/// The progress of one advance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) consumed: usize,
    pub(super) frames: u32,
    pub(super) ready: Ready,
}

impl Partial {
    /// Frees the event that the last call returned.
    pub(super) fn release(&mut self) {
        match std::mem::take(&mut self.lent) {
            Ready::Nothing => {}
            Ready::Message => self.message = None,
            Ready::Control(_) => self.control = Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.control.capacity() + self.message.as_ref().map_or(0, |message| message.bytes.capacity())
    }

    /// Consumes input until an event is complete or the input is consumed.
    pub(super) fn advance(&mut self, input: &mut [u8], limits: &Limits) -> Result<Progress, ProtocolError> {
        let (mut consumed, mut frames) = (0, 0);
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.read_head(&input[consumed..], limits)? {
                    (used, Some(head)) => {
                        consumed += used;
                        self.begin(head)
                    }
                    (used, None) => {
                        return Ok(Progress { consumed: consumed + used, frames, ready: Ready::Nothing });
                    }
                },
            };
            let missing = frame.head.payload_bytes - frame.read;
            let take = missing.min(input.len() - consumed);
            let chunk = &mut input[consumed..consumed + take];
            consumed += take;
            mask::apply(chunk, frame.head.mask, frame.read);
            let complete = take == missing;
            self.frame = (!complete).then_some(Frame { read: frame.read + take, ..frame });
            frames += u32::from(complete);
            let ready = self.add_payload(chunk, frame.head, complete, limits)?;
            if ready != Ready::Nothing || !complete {
                return Ok(Progress { consumed, frames, ready });
            }
        }
    }

    /// Completes the header from `input`; returns the number of bytes it consumed.
    fn read_head(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, Option<FrameHead>), ProtocolError> {
        let had = self.head_len;
        let fits = input.len().min(MAX_HEAD_BYTES - had);
        self.head[had..had + fits].copy_from_slice(&input[..fits]);
        let started = self
            .message
            .as_ref()
            .map(|message| Started { payload_bytes: message.bytes.len(), wire_bytes: message.wire_bytes });
        match head::parse(&self.head[..had + fits], limits, started)? {
            Some(head) => {
                self.head_len = 0;
                Ok((head.head_bytes - had, Some(head)))
            }
            None => {
                self.head_len = had + fits;
                Ok((fits, None))
            }
        }
    }

    /// Opens the frame, and its message if it is the first of one.
    fn begin(&mut self, head: FrameHead) -> Frame {
        if !head.opcode.is_control() {
            let message = self.message.get_or_insert_with(|| Message {
                opcode: head.opcode,
                compressed: head.compressed,
                bytes: Vec::new(),
                checked: 0,
                wire_bytes: 0,
            });
            message.wire_bytes += head.wire_bytes();
        }
        Frame { head, read: 0 }
    }

    /// Adds unmasked payload to its frame and message.
    fn add_payload(
        &mut self,
        chunk: &[u8],
        head: FrameHead,
        complete: bool,
        limits: &Limits,
    ) -> Result<Ready, ProtocolError> {
        self.lent = match &mut self.message {
            Some(message) if !head.opcode.is_control() => {
                message.add(chunk, complete && head.fin, limits)?;
                if complete && head.fin { Ready::Message } else { Ready::Nothing }
            }
            _ => {
                self.control.extend_from_slice(chunk);
                if complete { Ready::Control(head.opcode) } else { Ready::Nothing }
            }
        };
        Ok(self.lent)
    }

    /// Returns the completed event, borrowed.
    pub(super) fn lend(&self, ready: Ready) -> Result<Option<Event<'_>>, ProtocolError> {
        match (ready, &self.message) {
            (Ready::Control(opcode), _) => Event::whole(opcode, &self.control).map(Some),
            (Ready::Message, Some(message)) => Event::whole(message.opcode, &message.bytes).map(Some),
            _ => Ok(None),
        }
    }
}

impl Message {
    fn add(&mut self, chunk: &[u8], last: bool, limits: &Limits) -> Result<(), ProtocolError> {
        if self.compressed && last {
            self.bytes.extend_from_slice(chunk);
            self.bytes = deflate::inflate(&self.bytes, limits.max_inflated_bytes)?;
            return Ok(());
        }
        self.bytes.extend_from_slice(chunk);
        if self.opcode == OpCode::Text && !self.compressed {
            utf8::check_prefix(&self.bytes, &mut self.checked)?;
        }
        Ok(())
    }
}
