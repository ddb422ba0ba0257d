//! How much memory is free, on the host and on a GPU.

use std::path::Path;

use super::Bytes;
use crate::tensor::Device;

/// Memory that is free where `device` computes; none where the system does not tell.
pub fn free(device: &Device) -> Option<Bytes> {
    match device {
        Device::Flex(_) => host(),
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => {
            let (free, _) = cudarc::driver::CudaContext::new(cuda.index).ok()?.mem_get_info().ok()?;
            Some(Bytes(free as f64))
        }
        _ => None,
    }
}

/// What the kernel can give without swapping, and no more than a control group leaves.
fn host() -> Option<Bytes> {
    let available = field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")? * 1024.0;
    Some(Bytes(group(Path::new("/sys/fs/cgroup")).map_or(available, |left| left.min(available))))
}

/// The first number behind `name`.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// What a control group of version 2 (containers, Slurm jobs) still allows; none where it sets no limit.
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
    fn the_host_tells_what_is_free() {
        let free = free(&cpu()).expect("Linux tells").0;
        assert!((1e6..1e15).contains(&free), "{free}");
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
        std::fs::write(root.path().join("memory.max"), "max\n").expect("a file");
        assert_eq!(group(root.path()), None);
    }
}
