//! The board's temperature and whether it slows itself down, as Linux tells it.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// How the board is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Health {
    /// Of its warmest sensor, in degrees Celsius; `None` where it has none.
    pub(super) temperature: Option<f64>,
    /// Whether heat or a weak supply slows it down now; `None` where it doesn't say.
    pub(super) throttled: Option<bool>,
}

/// Reads sensors below `sys`, which is `/sys` but in tests.
pub(super) fn health(sys: &Path) -> Health {
    Health { temperature: temperature(sys), throttled: throttled(sys) }
}

fn number(path: &Path) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn temperature(sys: &Path) -> Option<f64> {
    let zones = fs::read_dir(sys.join("class/thermal")).ok()?.flatten();
    let milli = zones.filter_map(|zone| number(&zone.path().join("temp"))).max()?;
    Some(milli as f64 / 1e3)
}

/// A Raspberry Pi's firmware has a word whose bits 0 to 3 tell of low voltage and heat now; elsewhere a cooling device that is
/// at work tells it.
fn throttled(sys: &Path) -> Option<bool> {
    let word = fs::read_to_string(sys.join("devices/platform/soc/soc:firmware/get_throttled"));
    if let Some(word) = word.ok().and_then(|word| u32::from_str_radix(word.trim().trim_start_matches("0x"), 16).ok()) {
        return Some(word & 0b1111 != 0);
    }
    let devices = fs::read_dir(sys.join("class/thermal")).ok()?.flatten();
    let of_processors = devices.filter(|device| {
        let kind = fs::read_to_string(device.path().join("type")).unwrap_or_default();
        ["cpufreq", "cpu-", "Processor"].iter().any(|start| kind.starts_with(start))
    });
    of_processors
        .filter_map(|device| number(&device.path().join("cur_state")))
        .map(|state| state > 0)
        .reduce(|a, b| a | b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(sys: &Path, file: &str, text: &str) {
        let file = sys.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn sensors_of_several_boards() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        assert_eq!(health(sys), Health::default());
        write(sys, "class/thermal/thermal_zone0/temp", "48312\n");
        write(sys, "class/thermal/thermal_zone1/temp", "61500\n");
        assert_eq!(health(sys), Health { temperature: Some(61.5), throttled: None });
        write(sys, "class/thermal/cooling_device0/type", "pwm-fan\n");
        write(sys, "class/thermal/cooling_device0/cur_state", "3\n");
        assert_eq!(health(sys).throttled, None);
        write(sys, "class/thermal/cooling_device1/type", "cpufreq-cpu0\n");
        write(sys, "class/thermal/cooling_device1/cur_state", "0\n");
        assert_eq!(health(sys).throttled, Some(false));
        write(sys, "class/thermal/cooling_device1/cur_state", "2\n");
        assert_eq!(health(sys).throttled, Some(true));
        // Bits from 16 on tell of what was, not of what is.
        write(sys, "devices/platform/soc/soc:firmware/get_throttled", "50000\n");
        assert_eq!(health(sys).throttled, Some(false));
        write(sys, "devices/platform/soc/soc:firmware/get_throttled", "50005\n");
        assert_eq!(health(sys).throttled, Some(true));
    }
}
