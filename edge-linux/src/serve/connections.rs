//! Who is connected, and who makes way when there is no room for one more.
//!
//! A connection either waits (for a request, or for its client to take an answer) or is at work on an answer. Waiting costs a
//! client nothing, so the connection that has waited longest makes way for a new one: idle and slow clients keep nobody out.
//! What works long, a stream, is counted by address and in all, and streams leave half of the connections to the others. So
//! a request that is answered at once, as `/healthz` is, always finds room.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task::AbortHandle;

/// Connections at once, if the process may have that many descriptors.
const CONNECTIONS: usize = 96;
/// Connections at once, however few descriptors it may have.
const LEAST_CONNECTIONS: usize = 6;
/// Descriptors that are left to the camera: source, files, commands, broker, and a picture of the page's now and then.
const RESERVED_DESCRIPTORS: u64 = 32;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections at the same time.
    pub(super) connections: usize,
    /// From one address of another machine. On this machine a proxy may stand for many clients.
    pub(super) of_address: usize,
    /// At work on a stream, in all.
    pub(super) streams: usize,
    /// At work on a stream, from one address of another machine.
    pub(super) streams_of_address: usize,
}

impl Limits {
    /// What a process may have that can open so many descriptors; `None` is without a limit.
    pub(super) fn for_descriptors(descriptors: Option<u64>) -> Self {
        let left = descriptors.unwrap_or(u64::MAX).saturating_sub(RESERVED_DESCRIPTORS);
        let connections = usize::try_from(left).unwrap_or(usize::MAX).clamp(LEAST_CONNECTIONS, CONNECTIONS);
        Self {
            connections,
            of_address: connections.div_ceil(2),
            streams: connections / 2,
            streams_of_address: connections / 6,
        }
    }
}

/// The connections that there are, and when each has to make way.
pub(super) struct Connections {
    limits: Limits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

struct Entry {
    client: IpAddr,
    /// Answers that are made.
    works: usize,
    /// Those of them that are streams.
    streams: usize,
    /// Since when it waits, where nothing is made.
    since: Instant,
    /// Ends the task that serves it.
    task: Option<AbortHandle>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    /// Takes a connection in; another one may be ended for it. `None` where all of them are at work.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Connection> {
        let client = client(address);
        let mut table = self.lock();
        let own = table.entries.values().filter(|entry| entry.client == client).count();
        if own >= self.limits.of_address && !client.is_loopback() {
            table.end_longest_waiting(|entry| entry.client == client)?;
        } else if table.entries.len() >= self.limits.connections {
            table.end_longest_waiting(|_| true)?;
        }
        let number = table.next;
        table.next += 1;
        table.entries.insert(number, Entry { client, works: 0, streams: 0, since: Instant::now(), task: None });
        Some(Connection { all: self.clone(), number })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends one of these, if one of them waits.
    fn end_longest_waiting(&mut self, of: impl Fn(&Entry) -> bool) -> Option<()> {
        let waiting = self.entries.iter().filter(|(_, entry)| entry.works == 0 && of(entry));
        let number = *waiting.min_by_key(|(_, entry)| entry.since)?.0;
        if let Some(task) = self.entries.remove(&number)?.task {
            task.abort();
        }
        Some(())
    }
}

/// Whom a connection is counted for: an address, or the network of IPv6 that one client may have for itself.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// A connection that was taken in.
pub(super) struct Connection {
    all: Arc<Connections>,
    number: u64,
}

impl Connection {
    /// Says which task serves it.
    pub(super) fn served_by(self: &Arc<Self>, task: AbortHandle) {
        if let Some(entry) = self.all.lock().entries.get_mut(&self.number) {
            entry.task = Some(task);
        }
    }

    /// Says that an answer is made, until what is returned is dropped.
    pub(super) fn works(self: &Arc<Self>) -> Work {
        if let Some(entry) = self.all.lock().entries.get_mut(&self.number) {
            entry.works += 1;
        }
        Work { connection: self.clone(), stream: false }
    }

    /// Says that a stream is sent, until what is returned is dropped. `None` where there are enough of them.
    pub(super) fn streams(self: &Arc<Self>) -> Option<Work> {
        let mut table = self.all.lock();
        let client = table.entries.get(&self.number)?.client;
        let streams = |entry: &Entry| entry.streams;
        let all: usize = table.entries.values().map(streams).sum();
        let own: usize = table.entries.values().filter(|entry| entry.client == client).map(streams).sum();
        let limits = &self.all.limits;
        let most = if client.is_loopback() { limits.streams } else { limits.streams_of_address };
        if all >= limits.streams || own >= most {
            return None;
        }
        let entry = table.entries.get_mut(&self.number)?;
        entry.works += 1;
        entry.streams += 1;
        drop(table);
        Some(Work { connection: self.clone(), stream: true })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.lock().entries.remove(&self.number);
    }
}

/// An answer that is made.
pub(super) struct Work {
    connection: Arc<Connection>,
    stream: bool,
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(entry) = self.connection.all.lock().entries.get_mut(&self.connection.number) {
            entry.works -= 1;
            entry.streams -= usize::from(self.stream);
            entry.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(descriptors: u64) -> Arc<Connections> {
        Connections::new(Limits::for_descriptors(Some(descriptors)))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn descriptors_are_left_to_the_camera() {
        let of = |descriptors| Limits::for_descriptors(descriptors).connections;
        assert_eq!([of(None), of(Some(1024)), of(Some(64)), of(Some(20))], [96, 96, 32, 6]);
        let Limits { connections, of_address, streams, streams_of_address } = Limits::for_descriptors(Some(1024));
        assert_eq!((connections, of_address, streams, streams_of_address), (96, 48, 48, 16));
    }

    #[test]
    fn who_waits_longest_makes_way() {
        let all = connections(38);
        let taken: Vec<_> =
            (0..6).map(|number| Arc::new(all.admit(address(&format!("10.0.0.{number}"))).unwrap())).collect();
        // The first is at work, so the second is the one that waits longest.
        let work = taken[0].works();
        let seventh = Arc::new(all.admit(address("10.0.0.7")).unwrap());
        let numbers = || all.lock().entries.keys().copied().collect::<Vec<_>>();
        assert_eq!(numbers(), [0, 2, 3, 4, 5, 6]);
        // A work that has ended waits anew, behind the others.
        drop(work);
        let _eighth = all.admit(address("10.0.0.8")).unwrap();
        assert_eq!(numbers(), [0, 3, 4, 5, 6, 7]);
        drop((taken, seventh));
        assert_eq!(numbers(), [7]);
    }

    #[test]
    fn all_at_work_means_no_room() {
        let all = connections(38);
        let taken: Vec<_> =
            (0..6).map(|number| Arc::new(all.admit(address(&format!("10.0.0.{number}"))).unwrap())).collect();
        let works: Vec<_> = taken.iter().map(Connection::works).collect();
        assert!(all.admit(address("10.0.0.9")).is_none());
        drop(works);
        assert!(all.admit(address("10.0.0.9")).is_some());
    }

    #[test]
    fn an_address_replaces_its_own() {
        let all = connections(38);
        let other = Arc::new(all.admit(address("10.0.0.1")).unwrap());
        let own: Vec<_> = (0..20).filter_map(|_| all.admit(address("10.0.0.2"))).collect();
        assert_eq!(own.len(), 20);
        assert_eq!(all.lock().entries.len(), 4);
        assert!(all.lock().entries.contains_key(&other.number));
    }

    #[test]
    fn streams_leave_room() {
        let all = connections(1024);
        let take = |text: &str| Arc::new(all.admit(address(text)).unwrap());
        let far: Vec<_> = (0..20).filter_map(|_| take("10.0.0.1").streams()).collect();
        assert_eq!(far.len(), 16);
        // The connections behind the streams live as long as these do.
        let near: Vec<_> = (0..40).filter_map(|_| take("127.0.0.1").streams()).collect();
        assert_eq!(near.len(), 32);
        assert!(take("10.0.0.3").streams().is_none());
        drop(far);
        assert!(take("10.0.0.3").streams().is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(client(address(one)) == client(address(other)), same, "{one}, {other}");
        }
        assert!(client(address("::1")).is_loopback() && client(address("::ffff:127.0.0.1")).is_loopback());
    }
}
