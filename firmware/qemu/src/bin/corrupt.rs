//! A damaged model in flash: 1000 single bits flipped, one after the other. Where the checksum tells, the built-in model
//! runs; where it is right again (every second flip), the damaged one is refused or runs, but never faults.
#![cfg_attr(target_os = "none", no_std, no_main)]

use tinception_core::include_model;
use tinception_core::model::{Checksum, Model};
use tinception_core::session::Session;
use tinception_demo::pick;
use tinception_qemu::line::Line;
use tinception_qemu::machine::{Memory, Outcome};
use tinception_qemu::program;
use tinception_qemu::random::Random;

static BUILT_IN: &[u8] = include_model!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/artefacts/nano.tin"));
static DAMAGED: Memory<131_072, u8> = Memory::filled(0);
static ARENA: Memory<51_200, u8> = Memory::filled(0);

const FLIPS: usize = 1000;

program!(run);

fn run() -> Outcome {
    let flash = DAMAGED.take().ok_or("taken")?.get_mut(..BUILT_IN.len()).ok_or("the model is larger than the flash")?;
    flash.copy_from_slice(BUILT_IN);
    let arena = ARENA.take().ok_or("taken")?;
    let mut random = Random::new(0x1234_5678);
    let (mut replaced, mut refused, mut ran, mut hash) = (0, 0, 0, 0_u32);
    for flip in 0..FLIPS {
        let at = random.between(0, flash.len() as i32 - 1) as usize;
        let bit = 1 << random.between(0, 7);
        *flash.get_mut(at).ok_or("no such byte")? ^= bit;
        if flip % 2 == 0 {
            let model = pick(flash, BUILT_IN).ok_or("nothing runs")?;
            if model.step(0).is_none() || Model::new(flash).is_ok() {
                return Err("a damaged model was taken");
            }
            replaced += 1;
        } else {
            match Model::with_checksum(flash, Checksum::Skip) {
                Ok(model) => {
                    hash = hash.rotate_left(1) ^ result(&model, arena);
                    ran += 1;
                }
                Err(_) => refused += 1,
            }
        }
        *flash.get_mut(at).ok_or("no such byte")? ^= bit;
    }
    Line::new().number(replaced).text(" times the built-in model instead").print();
    Line::new().number(refused).text(" times refused with a right checksum").print();
    Line::new().number(ran).text(" times run, results ").hex(hash).print();
    Ok(())
}

/// The hash of the logits, or 0 where the model cannot run.
fn result(model: &Model<'_>, arena: &mut [u8]) -> u32 {
    let Ok(mut session) = Session::new(model, arena) else { return 0 };
    session.input_mut().fill(3);
    match session.run() {
        Ok(()) => session.logits().map_or(0, |logits| logits.crc32()),
        Err(_) => 0,
    }
}
