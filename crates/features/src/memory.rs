//! The allocator of all programs, and what it does with memory that is not needed any more.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t, mi_option_use_numa_nodes};

/// Tensors come and go by the megabyte; glibc hands each back to the kernel and gets it again page by page.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long free memory is kept before it goes back to the kernel; the binding has no name for this option, which stands
/// in front of the one that has.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;
/// Until the program ends.
const NEVER: c_long = -1;

/// Keeps free memory for the next tensor: a stage needs as much again at once, and each page that the kernel takes back
/// it clears before it gives it again. `MIMALLOC_PURGE_DELAY` in the environment wins.
pub fn keep() {
    // SAFETY: the option exists, and the allocator allows any thread to set it at any time.
    #[expect(unsafe_code, reason = "the allocator's options are behind its C interface")]
    unsafe {
        mi_option_set_default(PURGE_DELAY, NEVER);
    }
}

/// Bytes of memory that programs can still have, where the system tells.
pub fn available() -> Option<f64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_purge_delay() {
        #[expect(unsafe_code, reason = "the allocator's options are behind its C interface")]
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // mimalloc 3 waits for a second unless it is told otherwise, and no other option has that default.
        assert_eq!(get(), 1000);
        keep();
        assert_eq!(get(), NEVER);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_what_is_free() {
        let free = available().expect("Linux tells");
        assert!(free > 1e6 && free < 1e15, "{free}");
    }
}
