//! Panics in user code become values, with message and place.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// Whether this thread runs code whose panics are reported as failures, and so need no print by the standard hook.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `code`; a panic in it becomes its message and place in words.
///
/// What `code` has borrowed may be half changed after a panic: the caller must do no more with it than drop it.
pub(super) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    HOOK.call_once(install_hook);
    let outer = CATCHING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(code));
    CATCHING.set(outer);
    result.map_err(|payload| {
        let message = message_of(payload.as_ref());
        // The payload is user code's too: it may panic when dropped.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
        match PLACE.take() {
            Some(place) => format!("panicked at {place}: {message}"),
            None => format!("panicked: {message}"),
        }
    })
}

fn install_hook() {
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if CATCHING.get() {
            PLACE.set(info.location().map(ToString::to_string));
        } else {
            standard(info);
        }
    }));
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a value that is no text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        assert_eq!(catch(|| 7), Ok(7));
        let told = catch(|| panic!("on {}", "purpose")).unwrap_err();
        assert!(told.contains("panics.rs:") && told.ends_with(": on purpose"), "{told}");
    }
}
