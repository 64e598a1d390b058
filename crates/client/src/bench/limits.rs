//! What the kernel grants this process: open files and CPUs.

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Descriptors besides the connections: standard streams, epoll, timer, files under /proc.
const SPARE: u64 = 32;

/// Raises the soft limit of open files to the hard one and checks that `connections` fit.
pub(super) fn raise_files(connections: u64) -> Result<(), String> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|e| format!("cannot raise the limit of open files: {e}"))?;
    match limit.maximum {
        Some(most) if most < connections + SPARE => Err(format!(
            "{connections} connections need more open files than the hard limit of {most}; raise it (ulimit -Hn)"
        )),
        _ => Ok(()),
    }
}

/// Keeps the calling thread on one CPU.
pub(super) fn pin(cpu: Option<usize>) -> Result<(), String> {
    let Some(cpu) = cpu else { return Ok(()) };
    if cpu >= CpuSet::MAX_CPU {
        return Err(format!("there is no CPU {cpu}"));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|e| format!("cannot pin to CPU {cpu}: {e}"))
}
