//! From the text of `--device` to a device that will work, or an error that says what would make it work.

use crate::error::{Error, Result};
use crate::tensor::{self, Device};

/// What `--device` can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Cpu,
    Cuda(usize),
}

/// The device called `text`: `cpu`, `cuda` (the first GPU) or `cuda:N`.
pub fn open(text: &str) -> Result<Device> {
    match parse(text)? {
        Wanted::Cpu => Ok(tensor::cpu()),
        Wanted::Cuda(index) => cuda(index),
    }
}

fn parse(text: &str) -> Result<Wanted> {
    let wanted = match text.split_once(':') {
        None if text == "cpu" => Some(Wanted::Cpu),
        None if text == "cuda" => Some(Wanted::Cuda(0)),
        Some(("cuda", index)) => index.parse().ok().map(Wanted::Cuda),
        _ => None,
    };
    wanted.ok_or_else(|| Error::Usage(format!("--device {text}: not a device; give cpu, cuda or cuda:N")))
}

#[cfg(not(feature = "cuda"))]
fn cuda(index: usize) -> Result<Device> {
    let message = format!(
        "--device cuda:{index}: this program was built without CUDA; build it with \
         `cargo build --release --features cuda`, or use --device cpu"
    );
    Err(Error::Device(message))
}

/// Libraries are searched for as files first: burn would panic in a thread of its own if one could not be loaded.
#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    for (library, remedy) in [
        ("libcuda.so", "install the NVIDIA driver"),
        ("libnvrtc.so", "install the CUDA toolkit or its NVRTC package and set LD_LIBRARY_PATH to its lib directory"),
    ] {
        if !library::is_present(library) {
            let message =
                format!("--device cuda:{index}: {library} is not on this machine; {remedy}, or use --device cpu");
            return Err(Error::Device(message));
        }
    }
    if let Err(place) = library::headers() {
        let message = format!(
            "--device cuda:{index}: kernels are compiled with CUDA's headers, and there is no {}; install them (the package \
             cuda-cudart-dev of the toolkit) and set CUDA_PATH to the directory that has include/, or use --device cpu",
            place.display()
        );
        return Err(Error::Device(message));
    }
    let devices = library::gpus();
    if devices.is_some_and(|count| index >= count) {
        let count = devices.unwrap_or(0);
        return Err(Error::Device(format!("--device cuda:{index}: this machine has {count} GPU(s), counted from 0")));
    }
    crate::failure::watch();
    Ok(Device::Cuda(burn::backend::cuda::CudaDevice::new(index)))
}

#[cfg(feature = "cuda")]
mod library {
    //! Where the dynamic loader would find a library, without loading it.

    use std::path::{Path, PathBuf};
    use std::process::Command;

    const DIRECTORIES: [&str; 8] = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/lib/wsl/lib",
        "/usr/local/cuda/lib64",
        "/usr/local/nvidia/lib64",
        "/run/opengl-driver/lib",
    ];

    /// Whether a file whose name starts with `name` is where the loader looks.
    pub fn is_present(name: &str) -> bool {
        let own: Vec<PathBuf> = std::env::var_os("LD_LIBRARY_PATH")
            .map(|paths| std::env::split_paths(&paths).collect())
            .unwrap_or_default();
        own.iter().map(PathBuf::as_path).chain(DIRECTORIES.iter().map(Path::new)).any(|folder| holds(folder, name))
            || is_cached(name)
    }

    /// Whether CUDA's headers are where burn will look for them; if not, where they were looked for.
    pub fn headers() -> Result<(), PathBuf> {
        let set = std::env::var_os("CUDA_PATH").map(PathBuf::from);
        let usual = ["/usr/local/cuda", "/opt/cuda", "/usr"].map(PathBuf::from);
        let known = |place: &PathBuf| place.join("include/cuda_runtime.h").is_file();
        let root = set.or_else(|| usual.iter().find(|place| known(place)).cloned()).unwrap_or_else(|| usual[0].clone());
        if known(&root) { Ok(()) } else { Err(root.join("include/cuda_runtime.h")) }
    }

    /// GPUs that the driver lists; none known where it does not say.
    pub fn gpus() -> Option<usize> {
        std::fs::read_dir("/proc/driver/nvidia/gpus").ok().map(Iterator::count).filter(|&count| count > 0)
    }

    fn holds(folder: &Path, name: &str) -> bool {
        let Ok(entries) = std::fs::read_dir(folder) else { return false };
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(name))
    }

    fn is_cached(name: &str) -> bool {
        let listing = Command::new("/sbin/ldconfig").arg("-p").output();
        listing.is_ok_and(|listing| String::from_utf8_lossy(&listing.stdout).contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_exactly() {
        for (text, wanted) in [("cpu", Wanted::Cpu), ("cuda", Wanted::Cuda(0)), ("cuda:3", Wanted::Cuda(3))] {
            assert_eq!(parse(text).expect("a device"), wanted);
        }
        for text in ["", "gpu", "cpu:0", "cuda:", "cuda:x", "CUDA"] {
            assert_eq!(parse(text).expect_err("no device").exit_code(), 2, "{text}");
        }
        assert_eq!(open("cpu").expect("always there"), tensor::cpu());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_names_the_command_that_has_it() {
        let error = open("cuda:1").expect_err("not compiled in");
        assert_eq!(error.exit_code(), 69);
        assert!(error.to_string().contains("cargo build --release --features cuda"));
    }
}
