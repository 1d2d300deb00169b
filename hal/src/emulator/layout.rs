//! Which neuron is computed where: powered neurons, in order of their position in the network.
//!
//! Neurons that no path connects back to themselves are computed level by level: a level needs only
//! the finished spikes of the levels below. Neurons in loops are stepped together. Results do not
//! depend on the layout: a neuron's numbers depend only on its own events, which are always applied
//! in the same order.

/// Marks a neuron that is not powered.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Neurons that are computed together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) neurons: Vec<u16>,
    /// Whether spikes of the group can reach the group.
    pub(crate) cyclic: bool,
}

/// Groups in the order of computation. `targets(n)` lists the neurons that `n` drives.
pub(crate) fn groups(enabled: &[u16], total: usize, targets: &[Vec<u16>]) -> Vec<Group> {
    let component = components(enabled, total, targets);
    let count = component.iter().filter(|c| **c != NOWHERE).max().map_or(0, |c| *c as usize + 1);
    // Components are numbered in reverse topological order: a target's number is never larger.
    let mut size = vec![0_u32; count];
    let mut cyclic = vec![false; count];
    for &n in enabled {
        let own = component[usize::from(n)] as usize;
        size[own] += 1;
        cyclic[own] |= size[own] > 1 || targets[usize::from(n)].contains(&n);
    }
    let mut members = vec![Vec::new(); count];
    for &n in enabled {
        members[component[usize::from(n)] as usize].push(n);
    }
    let mut level = vec![0_usize; count];
    for own in (0..count).rev() {
        for &n in &members[own] {
            for &t in &targets[usize::from(n)] {
                let to = component[usize::from(t)];
                if to != NOWHERE && to as usize != own {
                    level[to as usize] = level[to as usize].max(level[own] + 1);
                }
            }
        }
    }
    let levels = level.iter().max().map_or(0, |l| l + 1);
    let mut out = Vec::new();
    for l in 0..levels {
        for loops in [false, true] {
            let inside = |n: &u16| {
                let own = component[usize::from(*n)] as usize;
                level[own] == l && cyclic[own] == loops
            };
            let neurons: Vec<u16> = enabled.iter().copied().filter(inside).collect();
            if !neurons.is_empty() {
                out.push(Group { neurons, cyclic: loops });
            }
        }
    }
    out
}

/// Strongly connected component of each neuron (Tarjan, without recursion).
fn components(enabled: &[u16], total: usize, targets: &[Vec<u16>]) -> Vec<u32> {
    let mut component = vec![NOWHERE; total];
    let mut index = vec![NOWHERE; total];
    let mut low = vec![0_u32; total];
    let mut powered = vec![false; total];
    enabled.iter().for_each(|n| powered[usize::from(*n)] = true);
    let (mut stack, mut on_stack) = (Vec::new(), vec![false; total]);
    let (mut counter, mut found) = (0, 0);
    for &root in enabled {
        if index[usize::from(root)] != NOWHERE {
            continue;
        }
        let mut calls = vec![(usize::from(root), 0)];
        while let Some((n, edge)) = calls.pop() {
            if edge == 0 {
                index[n] = counter;
                low[n] = counter;
                counter += 1;
                stack.push(n);
                on_stack[n] = true;
            }
            let mut descended = false;
            for (k, &t) in targets[n].iter().enumerate().skip(edge) {
                let t = usize::from(t);
                if !powered[t] {
                    continue;
                }
                if index[t] == NOWHERE {
                    calls.push((n, k + 1));
                    calls.push((t, 0));
                    descended = true;
                    break;
                }
                if on_stack[t] {
                    low[n] = low[n].min(index[t]);
                }
            }
            if descended {
                continue;
            }
            if low[n] == index[n] {
                while let Some(m) = stack.pop() {
                    on_stack[m] = false;
                    component[m] = found;
                    if m == n {
                        break;
                    }
                }
                found += 1;
            }
            if let Some((parent, _)) = calls.last() {
                low[*parent] = low[*parent].min(low[n]);
            }
        }
    }
    component
}
