//! Runs the program's instructions in user space, with substitutes for the kernel's functions.

use std::cell::RefCell;

use crate::owners::Owners;
use crate::transport::steering::program::{
    BUFFER_BYTES, MAP_LOOKUP_ELEM, Purpose, SK_SELECT_REUSEPORT, SKB_LOAD_BYTES, WORKER_AT,
    ZERO_AT, assemble,
};

const BUFFER_MAP: i32 = 17;
const SOCKET_MAP: i32 = 18;

/// The state of the substitutes, which are plain functions.
#[derive(Default)]
struct World {
    buffer: Vec<u8>,
    datagram: Vec<u8>,
    workers: u32,
    chosen: Option<u32>,
}

impl World {
    fn address(&mut self) -> u64 {
        self.buffer.as_mut_ptr().expose_provenance() as u64
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

pub(super) struct Machine {
    program: Vec<u8>,
    workers: u32,
}

impl Machine {
    pub(super) fn new(owners: &Owners) -> Self {
        let program = assemble(Purpose { buffer: BUFFER_MAP, sockets: SOCKET_MAP, owners });
        Self {
            program: program.into_iter().flat_map(u64::to_le_bytes).collect(),
            workers: owners.workers,
        }
    }

    /// Returns the worker that the program chooses for a datagram; `None` if it leaves the choice
    /// to the kernel.
    pub(super) fn choose(&mut self, datagram: &[u8]) -> Option<u32> {
        let range = WORLD.with_borrow_mut(|world| {
            // What an earlier datagram may have left, up to the word that stays zero.
            world.buffer = b"\ni:stale\r\nCall-ID: stale\r"
                .iter()
                .copied()
                .cycle()
                .take(BUFFER_BYTES as usize)
                .collect();
            world.buffer[ZERO_AT as usize..][..8].fill(0);
            world.datagram = datagram.to_vec();
            world.workers = self.workers;
            world.chosen = None;
            let start = world.address();
            start..start + u64::from(BUFFER_BYTES)
        });
        let mut machine = rbpf::EbpfVmRaw::new(Some(&self.program)).unwrap();
        let helpers: [(i32, rbpf::Helper); 3] = [
            (MAP_LOOKUP_ELEM, look_up),
            (SKB_LOAD_BYTES, load_bytes),
            (SK_SELECT_REUSEPORT, select),
        ];
        for (number, helper) in helpers {
            machine.register_helper(number.cast_unsigned(), helper).unwrap();
        }
        machine.register_allowed_memory(range);
        // struct sk_reuseport_md: data, data_end, len, …
        let mut context = [0_u8; 64];
        let len = datagram.len() as u32 + 8;
        context[16..20].copy_from_slice(&len.to_le_bytes());
        assert_eq!(machine.execute_program(&mut context).unwrap(), 1);
        WORLD.with_borrow(|world| world.chosen)
    }
}

fn look_up(map: u64, _key: u64, _: u64, _: u64, _: u64) -> u64 {
    assert_eq!(map, BUFFER_MAP as u64);
    WORLD.with_borrow_mut(World::address)
}

/// Copies into the buffer, the only memory that the program may name.
fn load_bytes(_context: u64, offset: u64, to: u64, len: u64, _: u64) -> u64 {
    WORLD.with_borrow_mut(|world| {
        assert_eq!(offset, 8);
        assert_eq!(to, world.address());
        let len = len as usize;
        world.buffer[..len].copy_from_slice(&world.datagram[..len]);
    });
    0
}

fn select(_context: u64, map: u64, worker: u64, flags: u64, _: u64) -> u64 {
    assert_eq!((map, flags), (SOCKET_MAP as u64, 0));
    WORLD.with_borrow_mut(|world| {
        assert_eq!(worker, world.address() + WORKER_AT as u64);
        let worker = &world.buffer[WORKER_AT as usize..][..4];
        let worker = u32::from_le_bytes(worker.try_into().unwrap());
        assert!(worker < world.workers);
        world.chosen = Some(worker);
    });
    0
}
