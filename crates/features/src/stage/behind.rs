//! What is done behind a device's back: parts are rounded, encoded and written by other threads while the next ones are
//! computed.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::error::Result;

/// Threads that finish parts, at most; each holds one part in memory.
const MOST: usize = 8;

/// Makes each part on this thread and hands it to `finish` on another one. Parts may be finished in any order.
///
/// # Errors
/// What `make` or `finish` fails with; no part is begun after that is known.
pub fn behind<P, T: Send>(
    parts: impl IntoIterator<Item = P>,
    mut make: impl FnMut(P) -> Result<T>,
    finish: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).div_ceil(2).min(MOST);
    thread::scope(|scope| {
        // Nothing waits in between: a part is handed over when a thread is free. The threads own the receiver, so that
        // nobody waits for threads that have failed.
        let (send, receive) = sync_channel(0);
        let receive = Arc::new(Mutex::new(receive));
        let finishers: Vec<_> = (0..threads)
            .map(|_| {
                let (receive, finish) = (receive.clone(), &finish);
                scope.spawn(move || std::iter::from_fn(|| next(&receive)).try_for_each(finish))
            })
            .collect();
        drop(receive);
        let mut made = Ok(true);
        for part in parts {
            made = make(part).map(|part| send.send(part).is_ok());
            if !matches!(made, Ok(true)) || finishers.iter().any(|finisher| finisher.is_finished()) {
                break;
            }
        }
        drop(send);
        let finished =
            finishers.into_iter().map(|finisher| finisher.join().unwrap_or_else(|panic| resume_unwind(panic)));
        finished.fold(made.map(drop), |all, one| all.and(one))
    })
}

fn next<T>(receive: &Mutex<Receiver<T>>) -> Option<T> {
    receive.lock().ok()?.recv().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::error::Error;

    #[test]
    fn every_part_is_finished_once() {
        let done = Mutex::new(Vec::new());
        let finish = |part: usize| {
            done.lock().expect("nobody panics").push(part);
            Ok(())
        };
        behind(0..100, |part| Ok(part * 2), finish).expect("no part fails");
        let done = done.into_inner().expect("nobody panics");
        assert_eq!(done.len(), 100);
        assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), (0..100).map(|part| part * 2).collect());
    }

    #[test]
    fn a_failure_ends_the_work_and_is_told() {
        let failure = || Error::CannotWrite("no space".to_string());
        let mut made = 0;
        let make = |part: usize| {
            made += 1;
            Ok(part)
        };
        let error = behind(0..1_000_000, make, |_| Err(failure())).expect_err("all parts fail");
        assert!(error.exit_code() == 73 && made < 1000, "{made}");
        let error = behind(0..10, |part| if part == 3 { Err(failure()) } else { Ok(part) }, |_| Ok(()));
        assert_eq!(error.expect_err("the fourth part fails").exit_code(), 73);
    }

    #[test]
    fn a_panic_goes_on() {
        let panic = std::panic::catch_unwind(|| behind(0..10, Ok, |_: usize| -> Result<()> { panic!("a bug") }));
        assert!(panic.is_err());
    }
}
