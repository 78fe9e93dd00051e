//! What the fuzz targets share: how their input bytes are read as operations, what is checked, and seeds.

pub mod analyser;
pub mod capture;
pub mod ops;
pub mod packets;
pub mod seeds;
pub mod segments;
pub mod show;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_that_are_kept_are_those_that_the_builders_make() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        for (target, seeds) in seeds::all() {
            let kept = std::fs::read_dir(root.join(target)).unwrap().count();
            assert_eq!(kept, seeds.len(), "{target}");
            for (name, bytes) in seeds {
                assert_eq!(std::fs::read(root.join(target).join(name)).unwrap(), bytes, "{target}/{name}");
            }
        }
    }
}
