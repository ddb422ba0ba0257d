//! Memory: the allocator of all programs, what it does with what is not needed any more, and how much is free.

use std::ffi::c_long;
use std::path::Path;

use libmimalloc_sys::{mi_option_set_default, mi_option_t, mi_option_use_numa_nodes};

use crate::tensor::Device;

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

/// Bytes that are free where `device` computes; none where the system does not tell.
pub fn free(device: &Device) -> Option<f64> {
    match device {
        Device::Flex(_) => available(),
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => {
            let (free, _) = cudarc::driver::CudaContext::new(cuda.index).ok()?.mem_get_info().ok()?;
            Some(free as f64)
        }
        _ => None,
    }
}

/// Share of free memory up to which one tensor is safe on an accelerator. cubecl's largest page is a quarter of all memory, and
/// what is worked out of the tensor takes another.
const TENSOR: f64 = 1.0 / 8.0;

/// Whether a single tensor of so many bytes can be had on `device`, with room to work on it.
pub fn holds(device: &Device, bytes: f64) -> bool {
    match device {
        Device::Flex(_) => true,
        _ => free(device).is_none_or(|free| bytes <= TENSOR * free),
    }
}

/// Gives memory that no tensor uses back to `device`, where a backend keeps it for tensors of the same size.
pub fn give_back(device: &Device) {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => <burn::backend::Cuda as burn::tensor::backend::Backend>::memory_cleanup(cuda),
        _ => {}
    }
}

/// Bytes of the host's memory that programs can still have: what the kernel can give without swapping, and no more than
/// a control group leaves; none where the system does not tell.
pub fn available() -> Option<f64> {
    let available = field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")? * 1024.0;
    let own = std::fs::read_to_string("/proc/self/cgroup").ok();
    let own = own.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("0::/"))).unwrap_or("");
    Some(allowed(Path::new("/sys/fs/cgroup"), own).map_or(available, |left| left.min(available)))
}

/// The least that the control group at `own` below `root` and those around it still allow; none where none sets a limit. In
/// a container the own group is the root, a Slurm job's or a service's lies below it.
fn allowed(root: &Path, own: &str) -> Option<f64> {
    Path::new(own).ancestors().filter_map(|path| group(&root.join(path))).reduce(f64::min)
}

/// The first number behind `name`.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// What a control group of version 2 still allows; none where it sets no limit.
fn group(root: &Path) -> Option<f64> {
    let read = |name: &str| std::fs::read_to_string(root.join(name)).ok()?.trim().parse::<f64>().ok();
    // Cached files are given back when memory is asked for.
    let cached = std::fs::read_to_string(root.join("memory.stat")).ok().and_then(|text| field(&text, "inactive_file "));
    Some((read("memory.max")? - read("memory.current")? + cached.unwrap_or(0.0)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::cpu;

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
        let free = free(&cpu()).expect("Linux tells");
        assert!(free > 1e6 && free < 1e15, "{free}");
        assert_eq!(field("MemFree:  1 kB\nMemAvailable:   2048 kB\n", "MemAvailable:"), Some(2048.0));
        assert_eq!(field("MemFree:  1 kB\n", "MemAvailable:"), None);
    }

    #[test]
    fn a_control_group_may_allow_less() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(group(root.path()), None);
        for (name, text) in
            [("memory.max", "1000\n"), ("memory.current", "900\n"), ("memory.stat", "anon 5\ninactive_file 50\n")]
        {
            std::fs::write(root.path().join(name), text).expect("a file");
        }
        assert_eq!(group(root.path()), Some(150.0));
        let job = root.path().join("slurm/job_7");
        std::fs::create_dir_all(&job).expect("a directory");
        assert_eq!(allowed(root.path(), "slurm/job_7"), Some(150.0));
        std::fs::write(job.join("memory.max"), "100\n").expect("a file");
        std::fs::write(job.join("memory.current"), "40\n").expect("a file");
        assert_eq!(allowed(root.path(), "slurm/job_7"), Some(60.0));
        assert_eq!(allowed(root.path(), ""), Some(150.0));
        std::fs::write(root.path().join("memory.max"), "max\n").expect("a file");
        assert_eq!(group(root.path()), None);
    }
}
