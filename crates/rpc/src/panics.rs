//! Catching panics of handlers, with their stack.
//!
//! `catch_unwind` returns after the stack is gone, so a hook records it during the panic. The hook acts only inside
//! [`guard`]; every other panic goes to the previous hook.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Caught>> = const { RefCell::new(None) };
}

/// A panic of a handler.
#[derive(Debug)]
pub(crate) struct Caught {
    pub message: String,
    pub stack: String,
}

/// Runs a handler and returns its panic as a value. Values that the handler had borrowed are only dropped or
/// overwritten afterwards.
pub(crate) fn guard<T>(run: impl FnOnce() -> T) -> Result<T, Caught> {
    install();
    let before = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(before);
    outcome.map_err(|payload| {
        let noted = LAST.take();
        noted.unwrap_or_else(|| Caught { message: text_of(&*payload), stack: String::new() })
    })
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| if GUARDED.get() { note(info) } else { before(info) }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|l| format!(" at {l}")).unwrap_or_default();
    let message = format!("a handler panicked{place}: {}", text_of(info.payload()));
    let stack = Backtrace::force_capture().to_string();
    LAST.set(Some(Caught { message, stack }));
}

fn text_of(payload: &dyn Any) -> String {
    let text =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").into()
}

#[cfg(test)]
mod tests {
    use super::guard;

    #[test]
    fn a_panic_is_caught_with_message_place_and_stack() {
        let caught = guard(|| panic!("no {}", "way")).unwrap_err();
        assert!(
            caught.message.contains("no way") && caught.message.contains("panics.rs"),
            "{}",
            caught.message
        );
        assert!(caught.stack.contains("panics"), "{}", caught.stack);
        assert_eq!(guard(|| 7).unwrap(), 7);
    }

    #[test]
    fn guards_nest() {
        let outer = guard(|| {
            assert!(guard(|| panic!("inner")).is_err());
            panic!("outer")
        });
        assert!(outer.unwrap_err().message.contains("outer"));
    }
}
