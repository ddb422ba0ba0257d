//! How a convolution is shared out over threads: by images, and where these are few, by channels too.

use rayon::prelude::*;

/// Output channels that are worth a thread of their own.
const LEAST_CHANNELS: usize = 32;

/// The threads that a convolution may use. One that stands alone keeps its memory from call to call, so that a caller
/// who shares work out himself gives each of his threads its own.
#[derive(Debug)]
pub struct Hands {
    threads: usize,
    scratch: Scratch,
}

/// Memory that one job after the other works in; only growing.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Maps with a border, strides taken apart.
    pub(super) planes: Vec<f32>,
    /// What a product reads, and which part of the weights it takes.
    pub(super) moved: Vec<f32>,
    pub(super) taken: Vec<f32>,
    /// What it makes.
    pub(super) sums: Vec<f32>,
    /// Winograd's tiles, their products, and even and odd columns of two rows.
    pub(super) tiles: Vec<f32>,
    pub(super) products: Vec<f32>,
    pub(super) row: Vec<Vec<f32>>,
}

impl Hands {
    /// So many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), scratch: Scratch::default() }
    }

    /// All threads.
    pub fn all() -> Self {
        Self::new(rayon::current_num_threads())
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.threads
    }

    /// Fills `made` `[images, channels, area]` by `make(scratch, image, its channels from `first` on, first)`:
    /// `together` images at a time, and where there are fewer images than threads, some channels of an image each.
    pub(super) fn fill(
        &mut self,
        made: &mut [f32],
        [images, channels, area]: [usize; 3],
        together: usize,
        make: impl Fn(&mut Scratch, usize, &mut [f32], usize) + Sync,
    ) {
        let group = (together * channels * area).max(1);
        if self.threads == 1 {
            for (index, made) in made.chunks_mut(group).enumerate() {
                make(&mut self.scratch, index * together, made, 0);
            }
            return;
        }
        let parts = self.threads.div_ceil(images.max(1));
        let block = if together > 1 { channels } else { channels.div_ceil(parts).max(LEAST_CHANNELS).min(channels) };
        let jobs: Vec<(usize, usize, &mut [f32])> = made
            .chunks_mut(group)
            .enumerate()
            .flat_map(|(index, made)| {
                // Several images are one piece: their channels do not lie side by side.
                let size = if together > 1 { made.len() } else { block * area };
                made.chunks_mut(size).enumerate().map(move |(part, made)| (index * together, part * block, made))
            })
            .collect();
        jobs.into_par_iter()
            .for_each_init(Scratch::default, |scratch, (image, first, made)| make(scratch, image, made, first));
    }
}
