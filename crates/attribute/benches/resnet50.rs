//! Seconds for all maps of one 672 x 672 picture: ResNet-50 with drawn weights, 9 targets, 2 linear probes, on the device
//! that PROBESCOPE_DEVICE names, or on the CPU.
//!
//! Waits for names of methods on standard input, one a line, and answers each with the seconds it took and the CPU
//! seconds of all its threads, so that tests/bench/attribution.py can run it in turn with other programs.
#![recursion_limit = "256"]
#![allow(missing_docs, clippy::print_stdout, reason = "a measurement program")]

use std::{io::BufRead, time::Instant};

use attribute::{
    explain::{Explainer, Head, Settings},
    method::{Method, lime::Lime},
    segment::Segmentation,
};
use features::{
    backbone::{Family, Norm, Parameters, ResNet},
    network::{BcosConv, ChannelScale, Conv, Layer, Network},
    random::{normal, stream, uniform},
    stage::{Stage, StageArgs},
    tensor::{Device, Tensor, from_vec, to_vec},
};

const SIDE: usize = 672;
const TARGETS: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const CLASSES: usize = 1000;

/// Wall and CPU time since a moment.
struct Clock {
    since: Instant,
    spent: f64,
}

impl Clock {
    fn start() -> Self {
        Self { since: Instant::now(), spent: Self::spent() }
    }

    /// CPU seconds of all threads so far, in hundredths; not a number where the system does not tell.
    fn spent() -> f64 {
        let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // User and system time, counted behind the name, which may have spaces.
        let fields = told.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
        if let [user, system] = ticks.as_slice() { (user + system) / 100.0 } else { f64::NAN }
    }

    fn tell(&self) {
        println!("{} {}", self.since.elapsed().as_secs_f64(), Self::spent() - self.spent);
    }
}

/// Draws weights on a device.
struct Random {
    device: Device,
    /// Inputs of an output of the last weight that was drawn.
    fan_in: f32,
}

impl Random {
    fn on(device: &Device) -> Self {
        Self { device: device.clone(), fan_in: 1.0 }
    }
}

impl Parameters for Random {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        let mut rng = stream(0, &["bench", name]);
        let fan_in = shape[1] * shape[2] * shape[3];
        self.fan_in = fan_in as f32;
        let deviation = (2.0 / fan_in as f64).sqrt();
        let values = (0..shape.iter().product()).map(|_| (deviation * normal(&mut rng)) as f32);
        from_vec(values.collect(), shape, &self.device)
    }

    /// Keeps the size of signals, as a trained network's norms do. The cosine of drawn weights is about 1 over the root of the
    /// fan-in, and what is left of a signal after fifty such layers are subnormal numbers, which some CPUs add very slowly.
    fn norm(&mut self, _: &str, channels: usize, norm: Norm) -> ChannelScale {
        let ones = || Tensor::ones([channels], &self.device);
        match norm {
            Norm::Centred => ChannelScale { scale: ones() * 0.5, shift: Some(Tensor::zeros([channels], &self.device)) },
            Norm::Uncentred => ChannelScale { scale: ones() * self.fan_in.sqrt(), shift: None },
        }
    }
}

fn head(family: Family, device: &Device) -> Network {
    let weight = Random::on(device).weight("head", [CLASSES, 2048, 1, 1]);
    let dense = match family {
        Family::Resnet => Layer::Conv(Conv::pointwise(weight, None)),
        Family::BcosResnet => Layer::BcosConv(BcosConv::new(weight, 2.0, [1; 2], [0; 2])),
    };
    Network::new(vec![dense, Layer::GlobalAvgPool])
}

fn main() {
    // As the programs do.
    features::memory::keep();
    // `cargo test` passes other flags; only a real `cargo bench` measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let name = std::env::var("PROBESCOPE_DEVICE").unwrap_or("cpu".to_string());
    let args = StageArgs { device: name, out: Some("unused".into()), ..StageArgs::default() };
    let device = Stage::new(args).and_then(|stage| stage.device()).expect("a device of this machine");
    let family = |name: &str| if name == "bcos" { Family::BcosResnet } else { Family::Resnet };
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        // METHOD, and for methods that average or sample, how many steps or samples.
        let mut words = line.split_whitespace();
        let (name, count) = (words.next().unwrap_or_default(), words.next().and_then(|word| word.parse().ok()));
        let family = family(name);
        let backbone = ResNet::imagenet(family, 50).expect("a known depth").lower(&mut Random::on(&device));
        let channels = if family == Family::Resnet { 3 } else { 6 };
        let mut rng = stream(0, &["bench", "image"]);
        let pixels = (0..channels * SIDE * SIDE).map(|_| uniform(&mut rng) as f32).collect();
        let image = from_vec(pixels, [1, channels, SIDE, SIDE], &device);
        let small = image.clone().slice([0..1, 0..channels, 0..SIDE / 3, 0..SIDE / 3]);
        if name == "forward" {
            to_vec(backbone.forward(small));
            let clock = Clock::start();
            to_vec(backbone.forward(image));
            clock.tell();
            continue;
        }
        let method: Method = match name.parse() {
            Ok(method) => method,
            Err(error) => {
                println!("{error}");
                continue;
            }
        };
        let lime = Lime { samples: count.unwrap_or(100), segments: 100, segmentation: Segmentation::Grid };
        let settings = Settings { steps: count.unwrap_or(16), lime, ..Settings::default() };
        let head = |id: &str| Head { id: id.into(), network: head(family, &device), methods: vec![method] };
        let bounds = (vec![0.0; channels], vec![1.0; channels]);
        // Binding the rules is paid once for all pictures.
        let explainer = match Explainer::with_bounds(backbone, bounds, vec![head("a"), head("b")], settings) {
            Ok(explainer) => explainer,
            Err(error) => {
                println!("{error}");
                continue;
            }
        };
        // Likewise the forms of weights that passes on the CPU take, which the first picture makes.
        if let Err(error) = explainer.explain(&small, &TARGETS[..1], "bench") {
            println!("{error}");
            continue;
        }
        let clock = Clock::start();
        match explainer.explain(&image, &TARGETS, "bench") {
            Ok(maps) => {
                assert_eq!(maps.len(), 2 * TARGETS.len());
                clock.tell();
            }
            Err(error) => println!("{error}"),
        }
    }
}
