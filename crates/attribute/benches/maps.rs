//! Time of maps at the size of the embedded experiment: one 3 x 3 grid, random weights, linear heads.
#![recursion_limit = "256"]
#![allow(missing_docs, clippy::print_stdout, reason = "a measurement program")]

use std::time::Instant;

use attribute::explain::{Explainer, Head, Settings};
use attribute::method::Method;
use features::backbone::{Family, Norm, Parameters, ResNet};
use features::network::{ChannelScale, Conv, Layer, Network};
use features::random::{normal, stream, uniform};
use features::tensor::{Tensor, cpu, from_vec};

/// Random weights.
struct Random;

impl Parameters for Random {
    fn weight(&mut self, name: &str, shape: [usize; 4]) -> Tensor<4> {
        let mut rng = stream(0, &["bench", name]);
        let deviation = (2.0 / (shape[1] * shape[2] * shape[3]) as f64).sqrt();
        let values = (0..shape.iter().product()).map(|_| (deviation * normal(&mut rng)) as f32);
        from_vec(values.collect(), shape, &cpu())
    }

    fn norm(&mut self, _: &str, channels: usize, norm: Norm) -> ChannelScale {
        let shift = (norm == Norm::Centred).then(|| Tensor::zeros([channels], &cpu()));
        ChannelScale { scale: Tensor::ones([channels], &cpu()), shift }
    }
}

fn main() {
    // `cargo test` passes other flags; only a real `cargo bench` measures.
    if !std::env::args().any(|argument| argument == "--bench") && std::env::var_os("ATTRIBUTE_BENCH").is_none() {
        return;
    }
    let (probes, targets) = (12, [0, 7]);
    for family in [Family::Resnet, Family::BcosResnet] {
        let backbone = ResNet::shapes(family).lower(&mut Random);
        let channels = if family == Family::Resnet { 3 } else { 6 };
        let mut rng = stream(0, &["bench", "image"]);
        let pixels = (0..channels * 192 * 192).map(|_| uniform(&mut rng) as f32).collect();
        let image = from_vec(pixels, [1, channels, 192, 192], &cpu());
        let since = Instant::now();
        for _ in 0..5 {
            features::tensor::to_vec(backbone.forward(image.clone()));
        }
        println!("{family:?}: forward {:.1} ms", since.elapsed().as_secs_f64() * 200.0);
        let head = Network::new(vec![
            Layer::Conv(Conv::pointwise(Random.weight("head", [20, 128, 1, 1]), None)),
            Layer::GlobalAvgPool,
        ]);
        for method in Method::DEFAULT.into_iter().filter(|method| method.unfit(&backbone, &head).is_none()) {
            for chunk in [8, 32] {
                let head = |id: usize| Head { id: id.to_string(), network: head.clone(), methods: vec![method] };
                let settings = Settings { chunk, ..Settings::default() };
                let bounds = (vec![0.0; channels], vec![1.0; channels]);
                let heads = (0..probes).map(head).collect();
                let explainer = Explainer::with_bounds(backbone.clone(), bounds, heads, settings).expect("rules fit");
                let since = Instant::now();
                let maps = explainer.explain(&image, &targets, "bench").expect("classes exist").len();
                let seconds = since.elapsed().as_secs_f64();
                println!("  {method:21} chunk {chunk:2}: {maps} maps, {:.1} ms a map", 1e3 * seconds / maps as f64);
            }
        }
    }
}
