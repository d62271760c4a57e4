//! A Merkle tree as in RFC 6962: one root stands for a batch, and a leaf is proved by a few hashes.

use sha2::{Digest, Sha256};

use super::hash::Hash;

/// The root over the leaves in their order; none has none.
pub fn root(leaves: &[Hash]) -> Option<Hash> {
    match leaves {
        [] => None,
        // Leaves and nodes are hashed differently, or a node could be passed off as a leaf.
        [leaf] => Some(digest(0, &[leaf])),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            Some(digest(1, &[&root(left)?, &root(right)?]))
        }
    }
}

/// What has to be hashed with the leaf at `position`, from the leaf up, to come to the root.
pub fn path(leaves: &[Hash], position: usize) -> Option<Vec<Hash>> {
    if position >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut below, beside) = if position < middle {
        (path(left, position)?, root(right)?)
    } else {
        (path(right, position - middle)?, root(left)?)
    };
    below.push(beside);
    Some(below)
}

/// The root that a leaf and its path come to, in a tree of so many leaves.
pub fn root_by(leaf: &Hash, position: usize, count: usize, path: &[Hash]) -> Option<Hash> {
    if count <= 1 {
        return (position == 0 && path.is_empty()).then(|| digest(0, &[leaf]));
    }
    let (beside, below) = path.split_last()?;
    let middle = split(count);
    if position < middle {
        Some(digest(1, &[&root_by(leaf, position, middle, below)?, beside]))
    } else {
        Some(digest(1, &[beside, &root_by(leaf, position - middle, count - middle, below)?]))
    }
}

/// The largest power of two below `count`.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn digest(kind: u8, parts: &[&Hash]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([kind]);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|number| [number; 32]).collect()
    }

    #[test]
    fn every_leaf_of_every_tree_is_proved_by_its_path_and_no_other_is() {
        for count in 1..=33 {
            let leaves = leaves(count);
            let root = root(&leaves).unwrap();
            for (position, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, position).unwrap();
                assert_eq!(root_by(leaf, position, leaves.len(), &path), Some(root));
                assert_ne!(root_by(&[99; 32], position, leaves.len(), &path), Some(root));
            }
        }
    }

    #[test]
    fn order_and_number_of_the_leaves_count() {
        let (three, mut swapped) = (leaves(3), leaves(3));
        swapped.swap(0, 1);

        assert_ne!(root(&three), root(&swapped));
        assert_ne!(root(&three), root(&leaves(4)));
        assert_eq!(root(&[]), None);
        assert_eq!(path(&three, 3), None);
    }
}
