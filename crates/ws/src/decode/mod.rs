//! Decodes a client's bytes to events (RFC 6455 sections 5, 7 and 8).
//!
//! The usual frame is complete in the driver's buffer: it is unmasked there and borrowed out, without a copy and
//! without any state. Everything else (a frame cut by the end of the buffer, a fragmented message, compressed data)
//! goes through a boxed `Partial`, which is dropped as soon as nothing is unfinished.

mod event;
mod head;
mod partial;
mod utf8;

pub use event::Event;

use crate::{ProtocolError, mask};
use partial::{Partial, Progress};

/// What a client may send. All sizes in bytes; a client that exceeds one is disconnected with the code given.
///
/// `max_unfinished_bytes` must leave room for at least one frame of `max_message_bytes` and its header of up to 14
/// bytes; otherwise no message of that size can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload of one message, its fragments together, as sent (compressed if so): 1009 beyond.
    pub max_message_bytes: usize,
    /// Payload of one data frame: 1009 beyond.
    pub max_frame_bytes: usize,
    /// Headers and payloads of one message's frames: 1008 beyond. Bounds what many tiny fragments may cost.
    pub max_unfinished_bytes: usize,
    /// One message after it was inflated: 1009 beyond.
    pub max_inflated_bytes: usize,
    /// Whether permessage-deflate was negotiated on this connection.
    pub deflate: bool,
}

impl Default for Limits {
    /// The defaults of `protocol.md` section 5: 64 KiB for messages and frames, 80 KiB read per unfinished message, no
    /// compression.
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024,
            max_frame_bytes: 64 * 1024,
            max_unfinished_bytes: 80 * 1024,
            max_inflated_bytes: 64 * 1024,
            deflate: false,
        }
    }
}

/// The result of one call of [`Decoder::next`].
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes of the input that were consumed. The whole input when there is no event.
    pub consumed: usize,
    /// Frames that were completed, including fragments without an event of their own. Completed frames extend a read
    /// deadline.
    pub frames: u32,
    /// A message or control frame, borrowed until the next call.
    pub event: Option<Event<'a>>,
}

/// One connection's decoder: one pointer, null while no message or frame is unfinished.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

impl Decoder {
    /// Decodes the next event of `input`.
    ///
    /// Call it with the rest of the bytes read (`&mut buffer[pos..end]`), advance by [`Step::consumed`], and repeat
    /// until [`Step::event`] is `None`: then all input is consumed, and the memory of a finished message is freed. The
    /// payload is unmasked inside `input`, so consumed bytes are no longer those from the network.
    ///
    /// ```
    /// use fanfare_ws::{Decoder, Event, Limits};
    ///
    /// let mut decoder = Decoder::default();
    /// let mut input = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80....";
    /// let mut at = 0;
    /// let mut events = Vec::new();
    /// loop {
    ///     let step = decoder.next(&mut input[at..], &Limits::default())?;
    ///     at += step.consumed;
    ///     match step.event {
    ///         Some(Event::Text(text)) => events.push(text.to_owned()),
    ///         Some(other) => events.push(format!("{other:?}")),
    ///         None => break,
    ///     }
    /// }
    /// assert_eq!(events, ["Hello", "Ping([])"]);
    /// # Ok::<(), fanfare_ws::ProtocolError>(())
    /// ```
    ///
    /// # Errors
    /// The violation that ends the connection. After an error, and after [`Event::Close`], further input has no meaning
    /// (section 1.4): the driver drops the decoder and the rest of the input.
    #[inline]
    pub fn next<'a>(&'a mut self, input: &'a mut [u8], limits: &Limits) -> Result<Step<'a>, ProtocolError> {
        if let Some(partial) = &mut self.partial {
            partial.release();
            if partial.is_empty() {
                self.partial = None;
            }
        }
        if self.partial.is_none() {
            match head::parse(input, limits, None)? {
                Some(head) if head.fin && !head.compressed && head.wire_bytes() <= input.len() => {
                    let consumed = head.wire_bytes();
                    let payload = &mut input[head.head_bytes..consumed];
                    mask::apply(payload, head.mask, 0);
                    let event = Event::whole(head.opcode, payload)?;
                    return Ok(Step { consumed, frames: 1, event: Some(event) });
                }
                None if input.is_empty() => return Ok(Step { consumed: 0, frames: 0, event: None }),
                _ => {}
            }
        }
        self.resume(input, limits)
    }

    /// Whether nothing is unfinished: no message, no frame, no header.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Bytes of heap this connection holds for unfinished messages and frames.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_deref().map_or(0, |partial| size_of::<Partial>() + partial.buffered_bytes())
    }

    /// Handles input that needs memory between calls.
    fn resume<'a>(&'a mut self, input: &mut [u8], limits: &Limits) -> Result<Step<'a>, ProtocolError> {
        let partial = self.partial.get_or_insert_default();
        let Progress { consumed, frames, ready } = partial.advance(input, limits)?;
        let event = partial.lend(ready)?;
        Ok(Step { consumed, frames, event })
    }
}

#[cfg(test)]
mod tests;
