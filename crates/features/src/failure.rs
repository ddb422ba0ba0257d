//! Failures on an accelerator's own threads, so that no result is read that depends on one.
//!
//! burn hands work to threads of the device, where it catches panics and logs them. After an allocation that failed, what was to
//! be computed is whatever memory held before, and reading it succeeds. So such a panic is noted, and whoever reads next is
//! told. Others are left alone: tuning tries kernels that a device cannot run, and goes on with the next one. The note is
//! global because a panic hook is.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, Once, PoisonError};

/// What cubecl 0.10 calls the threads of a device.
const DEVICE_THREADS: &str = "DS";
/// What they panic with where an allocation fails.
const NO_ROOM: [&str; 3] = ["BufferTooBig", "allocation error", "can't allocate buffer"];

static NOTED: Mutex<Option<String>> = Mutex::new(None);
static WATCH: Once = Once::new();

thread_local! {
    /// What a read within [`catch`] was told on this thread; none outside of it.
    static TOLD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// How work on a device failed.
#[derive(Debug)]
pub enum Failure {
    /// The device said this.
    Device(String),
    /// A panic of the work itself.
    Panic(Box<dyn Any + Send>),
}

/// What unwinds where a result cannot be read and nobody is there to try again: the device's words.
#[derive(Debug)]
pub struct DeviceFailed(pub String);

/// Notes from now on where threads of a device find no room.
pub fn watch() {
    WATCH.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let said = said(panic.payload());
            let thread = std::thread::current();
            let is_devices = thread.name().is_some_and(|name| name.starts_with(DEVICE_THREADS));
            if is_devices && NO_ROOM.iter().any(|words| said.contains(words)) {
                note(said);
            } else {
                others(panic);
            }
        }));
    });
}

fn note(said: String) {
    // The first is the cause; those that follow are about what it left undone.
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(said);
}

/// What `read` gives, if nothing that it may depend on has failed. Otherwise `instead`, where [`catch`] will tell; where not,
/// [`DeviceFailed`] unwinds.
pub fn checked<T>(read: impl FnOnce() -> Result<T, String>, instead: impl FnOnce() -> T) -> T {
    let read = read();
    let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner).take();
    let said = match (noted, read) {
        (None, Ok(made)) => return made,
        (Some(said), _) | (None, Err(said)) => said,
    };
    let told = TOLD.with_borrow_mut(|told| match told {
        Some(told) => {
            told.push(said.clone());
            true
        }
        None => false,
    });
    if told { instead() } else { resume_unwind(Box::new(DeviceFailed(said))) }
}

/// What `work` gives, if the device did all of it. Reads that fail on this thread give placeholders and `work` goes on to its
/// end, because burn keeps the memory of tensors that a panic drops.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    let before = TOLD.replace(Some(Vec::new()));
    let made = catch_unwind(AssertUnwindSafe(work));
    let told = TOLD.replace(before).unwrap_or_default();
    match (told.into_iter().next(), made) {
        (Some(said), _) => Err(Failure::Device(said)),
        (None, Ok(made)) => Ok(made),
        (None, Err(panic)) => Err(match panic.downcast::<DeviceFailed>() {
            Ok(failed) => Failure::Device(failed.0),
            Err(panic) => Failure::Panic(panic),
        }),
    }
}

/// Whether a device's message is about memory that was not to be had: the allocation itself, or its use afterwards.
pub fn is_about_room(said: &str) -> bool {
    let said = said.to_lowercase();
    ["alloc", "memory", "buffer", "resource for that handle", "reading data", "callerror"]
        .iter()
        .any(|word| said.contains(word))
}

/// The text of a panic, its first line.
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without text").lines().next().unwrap_or_default().to_string()
}

/// Held by tests that make a device fail, because there is one note for all of them.
#[cfg(test)]
pub(crate) static ALONE: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_device_thread(work: fn()) {
        let name = format!("{DEVICE_THREADS}D-0-0");
        let thread = std::thread::Builder::new().name(name).spawn(work).expect("a thread");
        let _ = thread.join();
    }

    #[test]
    fn a_result_behind_a_failure_is_not_read() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        watch();
        assert_eq!(checked(|| Ok(1), || 0), 1);
        on_a_device_thread(|| panic!("a kernel that takes more shared memory than the device has"));
        assert_eq!(checked(|| Ok(2), || 0), 2);
        on_a_device_thread(|| panic!("BufferTooBig {{ size: {} }}", 7));
        // Whoever catches gets a placeholder and hears of it at the end; then all is well again.
        let failed = catch(|| checked(|| Ok(1), || 0) + 10).expect_err("it failed");
        assert!(matches!(failed, Failure::Device(said) if said == "BufferTooBig { size: 7 }"));
        assert_eq!(catch(|| checked(|| Ok(1), || 0)).expect("nothing new"), 1);
        // A read that fails by itself is told of alike, and without anybody to tell it unwinds.
        let failed = catch(|| checked(|| Err("call error".to_string()), || 0)).expect_err("it failed");
        assert!(matches!(failed, Failure::Device(said) if said == "call error"));
        let panic = catch_unwind(|| checked(|| Err("call error".to_string()), || 0)).expect_err("it unwinds");
        assert_eq!(panic.downcast::<DeviceFailed>().expect("typed").0, "call error");
        let other = catch(|| -> i32 { resume_unwind(Box::new("index out of bounds")) }).expect_err("a panic");
        assert!(matches!(other, Failure::Panic(panic) if said(&*panic) == "index out of bounds"));
    }
}
