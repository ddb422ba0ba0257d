//! Randomisation checks: does a map change when what it explains is made meaningless?
//!
//! - What: the weights of the probe, then those of the backbone from its last stage back to its first, are drawn again,
//!   and the picture is explained once more with the same methods (parameter randomisation, cascading). Or the network
//!   stays and the logit of another class is explained (logit randomisation). The score is the similarity of that map to
//!   the original one. A method whose maps stay alike does not explain the network.
//! - Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps"; Sixt et al. 2020 for the other logit.
//! - Range: -1 to 1, lower is better. No level of chance: unrelated maps correlate by 0, but all maps of one picture may
//!   share its edges; compare methods.
//! - Cost: as much as making the maps of the chosen items, once for each depth of the cascade.
//!
//! Methods that draw random numbers draw the same ones again, so that weights alone make the difference.

pub mod redraw;
pub mod settings;
pub mod similarity;

mod randomiser;

pub use randomiser::{Answer, Randomiser, Subject};
pub use redraw::Redraw;
pub use settings::{Reach, Settings, Test};
pub use similarity::Similarity;

#[cfg(test)]
mod tests;
