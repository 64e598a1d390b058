//! The kernel's figures of a server's processes: CPU time, memory, and disturbances of the run.

use std::collections::HashMap;
use std::fs;

/// `root` and all processes that descend from it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    all
}

/// The fourth field of `/proc/PID/stat`; the second, the name, may hold anything and ends at the last `)`.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(1)?.parse().ok()
}

/// Time on a CPU of every thread of a process and its descendants, in nanoseconds (the first field of `schedstat`).
#[derive(Debug, Default)]
pub(super) struct CpuTimes(HashMap<u32, u64>);

impl CpuTimes {
    pub(super) fn of(root: u32) -> Self {
        let mut times = HashMap::new();
        for pid in tree(root) {
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let id = task.file_name().to_str().and_then(|name| name.parse().ok());
                let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let time = stat.split_whitespace().next().and_then(|field| field.parse().ok());
                if let (Some(id), Some(time)) = (id, time) {
                    times.insert(id, time);
                }
            }
        }
        Self(times)
    }

    /// Seconds since `before`. A thread that has ended since is not counted, because the kernel no longer reports its
    /// time.
    pub(super) fn seconds_since(&self, before: &Self) -> f64 {
        let spent = |(id, time): (&u32, &u64)| time.saturating_sub(before.0.get(id).copied().unwrap_or(0));
        self.0.iter().map(spent).sum::<u64>() as f64 / 1e9
    }
}

/// Seconds that the calling thread has spent on a CPU.
pub(super) fn thread_seconds() -> f64 {
    read("/proc/thread-self/schedstat")
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1e9
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    /// Resident, summed over the processes.
    pub(super) rss: u64,
    /// Resident, pages shared between processes counted once.
    pub(super) pss: u64,
    /// Memory that the whole machine still has available: shows the kernel's memory for the sockets of both ends.
    pub(super) available: u64,
}

impl Memory {
    pub(super) fn of(root: u32) -> Self {
        let mut memory =
            Self { available: field(&read("/proc/meminfo"), "MemAvailable:"), ..Self::default() };
        for pid in tree(root) {
            let rollup = read(&format!("/proc/{pid}/smaps_rollup"));
            memory.rss += field(&rollup, "Rss:");
            memory.pss += field(&rollup, "Pss:");
        }
        memory
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The bytes of a line `KEY  N kB`.
fn field(text: &str, key: &str) -> u64 {
    let kib =
        text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Seconds that a hypervisor gave the machine's CPUs to others since boot: the main noise of a virtual machine.
pub(super) fn stolen_seconds() -> f64 {
    // The ninth word of the line "cpu", in ticks of 10 ms (USER_HZ is 100 on every Linux this runs on).
    read("/proc/stat").split_whitespace().nth(8).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0)
        / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let me = std::process::id();
        let before = CpuTimes::of(me);
        let mut sum = 0u64;
        while CpuTimes::of(me).seconds_since(&before) < 0.01 {
            sum = (0..100_000u64).fold(sum, |a, b| a.wrapping_mul(31).wrapping_add(b));
        }
        let memory = Memory::of(me);
        assert!(memory.rss > 100_000 && memory.pss <= memory.rss && memory.available > 0, "{memory:?} {sum}");
    }

    #[test]
    fn children_belong_to_the_tree() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(tree(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
