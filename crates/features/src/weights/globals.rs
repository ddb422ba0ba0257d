//! The names a checkpoint's pickle may mention: what rebuilds tensors, and containers that hold none of them.
//!
//! Nothing is ever called, so a name can do no harm; names outside this list are refused all the same, because what
//! they would have built is unknown and might be where the weights are.

use super::element::Element;

/// What a name in a pickle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `torch._utils._rebuild_tensor_v2` and its older form.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`: its first argument.
    RebuildParameter,
    /// A mapping, as `collections.OrderedDict`.
    Mapping,
    /// A storage class.
    Storage(Element),
    /// Settings, counters, paths: read and left alone.
    Inert,
}

/// Containers and plain objects found beside the weights: DINO's arguments, mmengine's logs, optimisers' settings.
const INERT: [(&str, &[&str]); 16] = [
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("copyreg", &["_reconstructor"]),
    ("_codecs", &["encode"]),
    (
        "builtins",
        &[
            "object",
            "set",
            "frozenset",
            "list",
            "dict",
            "tuple",
            "int",
            "long",
            "float",
            "bool",
            "str",
            "unicode",
            "bytes",
            "bytearray",
            "complex",
            "slice",
            "range",
            "xrange",
            "getattr",
        ],
    ),
    ("collections", &["Counter", "deque"]),
    ("datetime", &["datetime", "date", "timedelta"]),
    ("pathlib", &["Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("torch", &["Size", "device"]),
    ("torch", &["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]),
    (
        "torch.jit._pickle",
        &["build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag"],
    ),
    ("mmengine.logging.history_buffer", &["HistoryBuffer"]),
    ("mmengine.config.config", &["ConfigDict", "Config"]),
    ("easydict", &["EasyDict"]),
];

/// The meaning of `module.name`, if it is on the list.
pub fn resolve(module: &str, name: &str) -> Option<Global> {
    // Python 2 and numpy 1 and 2 have other names for the same modules.
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        "numpy._core.multiarray" => "numpy.core.multiarray",
        other => other,
    };
    match (module, name) {
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Some(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
        ("collections", "OrderedDict" | "defaultdict") => Some(Global::Mapping),
        ("torch", storage) if storage.ends_with("Storage") => Element::of_storage(storage).map(Global::Storage),
        // Modules of a TorchScript program: their attributes are mappings like others, their code is in other entries.
        (module, _) if module == "__torch__" || module.starts_with("__torch__.") => Some(Global::Inert),
        _ => INERT.iter().any(|(known, names)| *known == module && names.contains(&name)).then_some(Global::Inert),
    }
}
