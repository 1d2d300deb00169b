use std::path::PathBuf;

use super::idx::hex_sum;
use super::*;

/// The folder with the published files: `SPIKELOOP_SHARED_DATA`, or the one beside the workspace.
/// Without it the tests that compare with those files say so and pass.
fn shared_data(part: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("SPIKELOOP_SHARED_DATA").map_or_else(beside, PathBuf::from);
    let folder = root.join(part);
    if folder.is_dir() {
        return Some(root);
    }
    eprintln!(
        "skipped: no folder {}; set SPIKELOOP_SHARED_DATA to compare with the published files",
        folder.display()
    );
    None
}

/// The 8-byte items of a version 1 `.npy` file in C order.
fn read_npy(path: &Path) -> Vec<[u8; 8]> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\0");
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[header..].chunks_exact(8).map(|b| b.try_into().unwrap()).collect()
}

/// CRC-32 (IEEE 802.3, as zlib computes it).
fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|i| (0..8).fold(i, |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 }))
        .collect();
    !bytes.iter().fold(!0, |c, &b| table[((c ^ u32::from(b)) & 255) as usize] ^ c >> 8)
}

/// Yin-Yang splits by name, seed and size.
const PUBLISHED: [(&str, u32, usize); 3] =
    [("train", 42, 5000), ("validation", 41, 1000), ("test", 40, 1000)];

/// Feature and label bytes of a generated Yin-Yang split, as an `.npy` file holds them.
fn yin_yang_bytes(seed: u32, count: usize) -> (Vec<[u8; 8]>, Vec<[u8; 8]>) {
    let points = yin_yang::points(seed, count);
    let samples = points.iter().flat_map(|p| yin_yang::features(p.0)).map(f64::to_le_bytes);
    let labels = points.iter().map(|p| i64::from(p.1).to_le_bytes());
    (samples.collect(), labels.collect())
}

#[test]
fn yin_yang_equals_the_published_samples_bit_for_bit() {
    let Some(root) = shared_data("yin_yang") else { return };
    for (name, seed, count) in PUBLISHED {
        let (samples, labels) = yin_yang_bytes(seed, count);
        let file = |part| root.join(format!("yin_yang/{name}_{part}.npy"));
        assert_eq!(read_npy(&file("samples")), samples, "{name} samples");
        assert_eq!(read_npy(&file("labels")), labels, "{name} labels");
    }
}

#[test]
fn yin_yang_golden_sums() {
    let sums = PUBLISHED.map(|(_, seed, count)| {
        let (samples, labels) = yin_yang_bytes(seed, count);
        hex_sum(&[samples.concat(), labels.concat()].concat())[..16].to_owned()
    });
    assert_eq!(sums, ["3dcfbb1895fd5f75", "03d1c9e01d7b2ab9", "01e8a4f15d4b0d4d"]);
}

#[test]
fn yin_yang_loads_as_published() {
    let mut spec = DataSpec::new(DataName::Yinyang);
    spec.validation = 1000;
    let set = load(&spec, None).unwrap();
    let validation = set.validation.as_ref().unwrap();
    assert_eq!([set.train.len(), validation.len(), set.test.len()], [5000, 1000, 1000]);
    assert_eq!((set.inputs, set.classes, set.train.times.total()), (25, 3, 125_000));
    let mut trains = SpikeTrains::default();
    set.train.encode(&[7, 3], &set.grid, &mut trains);
    assert_eq!((trains.samples(), trains.steps(), trains.count(0)), (2, 38, 25));
    assert!(trains.at(1, 2).contains(&24), "the last copy of the bias fires at 2 µs");
    // The four features come in two pairs of complements: 2 + 24 f and 26 − 24 f.
    let (times, ids) = set.train.times.sample(7);
    let time = |id| times[ids.iter().position(|&i| i == id).unwrap()];
    assert!((time(0) + time(2) - 28.0).abs() < 1e-5 && (time(1) + time(8) - 28.0).abs() < 1e-5);
}

#[test]
fn digits_are_the_published_ones() {
    let records = digits::records();
    let raw: Vec<u8> = records.iter().flat_map(|r| r.0.into_iter().chain([r.1 as u8])).collect();
    assert_eq!(records.len(), 1797);
    assert_eq!(hex_sum(&raw), "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2");
}

#[test]
fn digits_are_split_by_class_and_the_split_is_fixed() {
    let set = load(&DataSpec::new(DataName::Digits), None).unwrap();
    assert_eq!([set.train.len(), set.test.len()], [1442, 355]);
    assert!(set.validation.is_none());
    for class in 0..10 {
        let count = |s: &Split| s.labels.iter().filter(|&&l| l == class).count();
        let (train, test) = (count(&set.train), count(&set.test));
        assert_eq!(test, (train + test) / 5, "class {class}");
    }
    let labels: Vec<u8> = set.test.labels.iter().map(|&l| l as u8).collect();
    assert_eq!(
        crc32(&labels),
        2_184_836_098,
        "the split has changed: published figures no longer apply"
    );
}

#[test]
fn hold_out_comes_from_the_end_and_leaves_the_test_set_alone() {
    let all = load(&DataSpec::new(DataName::Digits), None).unwrap();
    let mut spec = DataSpec::new(DataName::Digits);
    (spec.validation, spec.train, spec.test, spec.copies) = (100, Some(50), Some(20), Some(3));
    let some = load(&spec, None).unwrap();
    let held_out = some.validation.unwrap();
    assert_eq!(held_out.labels, all.train.labels[1342..]);
    assert_eq!(some.train.labels, all.train.labels[..50]);
    assert_eq!(some.test.labels, all.test.labels[..20]);
    assert_eq!(some.inputs, 192);
    assert_eq!(some.train.times.sample(4).0.len(), 3 * all.train.times.sample(4).0.len());
    assert_eq!(held_out.times.sample(99).1[0] % 64, all.train.times.sample(1441).1[0]);
}

#[test]
fn impossible_requests_name_what_is_possible() {
    let ask = |train, validation, copies| {
        let mut spec = DataSpec::new(DataName::Digits);
        (spec.train, spec.validation, spec.copies) = (train, validation, copies);
        load(&spec, None).unwrap_err().to_string()
    };
    assert!(ask(Some(1400), 100, None).contains("asks for 1500 samples of the train set"));
    assert!(ask(None, 1442, None).contains("which has 1442"));
    assert!(ask(None, usize::MAX, None).contains("choose 1 to 1442"));
    assert!(ask(Some(0), 0, None).contains("asks for 0 samples"));
    assert!(ask(None, 0, Some(0)).contains("data.copies = 0"));
}

#[test]
fn specification_reads_from_text_and_refuses_unknown_keys() {
    let spec: DataSpec = serde_json::from_str(r#"{"name":"mnist16","validation":10}"#).unwrap();
    assert_eq!((spec.name, spec.validation, spec.copies), (DataName::Mnist16, 10, None));
    assert_eq!(serde_json::to_string(&spec).unwrap(), r#"{"name":"mnist16","validation":10}"#);
    assert!(serde_json::from_str::<DataSpec>(r#"{"name":"digits","tran":3}"#).is_err());
    for name in DataName::ALL {
        assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
    }
}

/// All pixels of one family with the sum of each set.
fn pixel_sums(images: &images::Files) -> [u64; 2] {
    [0, 1].map(|i| images.pixels[i].iter().map(|&p| u64::from(p)).sum())
}

#[test]
fn mnist_equals_the_published_preprocessing() {
    let Some(root) = shared_data("mnist") else { return };
    let images = images::read(Family::Mnist, Some(&root)).unwrap();
    assert_eq!(pixel_sums(&images), [670_499_351, 113_319_597]);
    assert_eq!([0, 1].map(|i| crc32(&images.pixels[i])), [0xdf97_509d, 0x2cc5_ee89]);
    let row = [0, 0, 0, 0, 0, 0, 0, 22, 219, 255, 120, 1, 2, 0, 0, 0];
    assert_eq!(images.pixels[0][8 * SIDE..9 * SIDE], row);
    assert_eq!((images.labels[0][0], images.labels[1][0]), (5, 7));
}

#[test]
fn mnist_has_57_spikes_per_test_image_in_the_window() {
    let Some(root) = shared_data("mnist") else { return };
    let mut spec = DataSpec::new(DataName::Mnist16);
    (spec.validation, spec.train) = (5000, Some(1000));
    let set = load(&spec, Some(&root.join("mnist"))).unwrap();
    assert_eq!([set.train.len(), set.validation.unwrap().len()], [1000, 5000]);
    let all: Vec<u32> = (0..10_000).collect();
    let mut trains = SpikeTrains::default();
    set.test.encode(&all, &set.grid, &mut trains);
    let mean = trains.total() as f64 / 1e4;
    assert!((56.0..58.5).contains(&mean), "{mean} spikes per image");
    let first: usize = (0..10_000).map(|s| trains.at(s, 0).len()).sum();
    assert!(first > 0, "the brightest pixel of a batch fires in the first step");
}

#[test]
fn fashion_mnist_loads_and_keeps_its_sums() {
    let Some(root) = shared_data("fashion-mnist") else { return };
    let images = images::read(Family::Fashion, Some(&root)).unwrap();
    assert_eq!([0, 1].map(|i| crc32(&images.pixels[i])), [366_529_167, 903_718_534]);
    assert_eq!(images.labels[0][..3], [9, 0, 0]);
}

#[test]
fn missing_files_are_named_with_the_folders_searched() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("mnist");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("train-images-idx3-ubyte.gz"), b"x").unwrap();
    let error = load(&DataSpec::new(DataName::Mnist16), Some(folder.path())).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DataError::Missing { .. }));
    let missing = text.lines().next().unwrap();
    assert!(!missing.contains("train-images") && missing.contains("t10k-labels-idx1-ubyte"));
    assert!(text.contains(&inner.display().to_string()), "{text}");
    for needed in ["train-images-idx3-ubyte[.gz]", "--data DIR", "SPIKELOOP_DATA", "https://"] {
        assert!(text.contains(needed), "{needed} in {text}");
    }
}

#[test]
fn altered_and_truncated_files_are_refused_with_both_sums() {
    let folder = tempfile::tempdir().unwrap();
    for name in Family::Fashion.file_names() {
        std::fs::write(folder.path().join(name), b"short").unwrap();
    }
    let error = load(&DataSpec::new(DataName::Fashion16), Some(folder.path())).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DataError::Checksum { bytes: 5, .. }), "{text}");
    let found = hex_sum(b"short");
    for needed in [found.as_str(), "c59f468a2f672dc8", "ubyte is not the published file"] {
        assert!(text.contains(needed), "{needed} in {text}");
    }
    // Not a gzip stream at all.
    for name in Family::Fashion.file_names() {
        std::fs::write(folder.path().join(format!("{name}.gz")), b"short").unwrap();
    }
    let error = load(&DataSpec::new(DataName::Fashion16), Some(folder.path())).unwrap_err();
    assert!(error.to_string().contains("3aede38d61863908"), "{error}");
}

/// A small published file, for the reader alone.
const TINY: idx::Published = idx::Published {
    name: "tiny",
    packed: "not the sum of any file",
    content: "7a3f6e2c1bd0",
    header: &[0x801, 3],
};

#[test]
fn files_are_taken_plain_or_compressed_by_the_sum_of_their_content() {
    use std::io::Write;
    let content = [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9];
    let sum: &'static str = Box::leak(hex_sum(&content).into_boxed_str());
    let tiny = idx::Published { content: sum, ..TINY };
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("tiny");
    std::fs::write(&plain, content).unwrap();
    assert_eq!(tiny.find(folder.path()), Some(plain.clone()));
    assert_eq!(tiny.read(&plain, "").unwrap(), [7, 8, 9]);

    let packed = folder.path().join("tiny.gz");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&content).unwrap();
    let mut stream = packer.finish().unwrap();
    std::fs::write(&packed, &stream).unwrap();
    assert_eq!(tiny.read(&packed, "").unwrap(), [7, 8, 9]);
    stream.truncate(stream.len() - 3);
    std::fs::write(&packed, &stream).unwrap();
    assert!(matches!(tiny.read(&packed, ""), Err(DataError::Checksum { .. })));

    // The right sum of the wrong shape.
    let other = idx::Published { content: sum, header: &[0x801, 4], ..TINY };
    assert!(matches!(other.read(&plain, ""), Err(DataError::Shape { .. })));
    let gone = folder.path().join("gone");
    assert!(matches!(tiny.read(&gone, ""), Err(DataError::Read { .. })));
}

#[test]
fn full_images_spike_at_the_published_steps() {
    let Some(root) = shared_data("fashion-mnist") else { return };
    let pixels = &images::contents(Family::Fashion, Some(&root)).unwrap()[0][..784];
    let times = latency::spike_times(pixels);
    let mut trains = SpikeTrains::default();
    times.bin(&[0], &latency::GRID, Origin::Absolute, &mut trains);
    assert_eq!((trains.units(), trains.steps()), (784, 101));
    let mut spikes = 0;
    for (pixel, &v) in pixels.iter().enumerate() {
        let x = f64::from(v) / 255.0;
        let step = if x < 0.2 { f64::INFINITY } else { 20.0 * (x / (x - 0.2 + 1e-7)).ln() };
        let found = (0..101).find(|t| trains.at(0, *t).contains(&(pixel as u16)));
        // Pixel 51 is the threshold itself, and 1e-7 from it is far beyond the grid.
        let wanted = (step < 101.0).then_some(step as usize);
        assert_eq!(found, wanted, "pixel {pixel}: {v}");
        spikes += usize::from(found.is_some());
    }
    assert!(spikes > 100 && trains.count(0) == spikes);
    let mut spec = DataSpec::new(DataName::FashionLatency);
    spec.copies = Some(2);
    assert!(load(&spec, Some(&root)).unwrap_err().to_string().contains("task.copies"));
}

#[test]
fn braille_letters_are_standardised_by_what_is_learned() {
    let Some(root) = shared_data("braille") else { return };
    let set = load(&DataSpec::new(DataName::Braille), Some(&root)).unwrap();
    assert_eq!([set.train.len(), set.test.len(), set.classes, set.inputs], [1080, 270, 27, 5]);
    assert_eq!((set.class_names[0].as_str(), set.class_names[19].as_str()), ("A", "Space"));
    let analog = set.train.analog.as_ref().unwrap();
    assert_eq!((analog.channels, analog.steps, analog.values.len()), (4, 152, 1080 * 152 * 4));
    // Deviations of the four taxels over all trials of the file, by NumPy; a value is divided by its
    // deviation + 1e-3, which is felt where a taxel hardly moves.
    for (channel, deviation) in [0.080049, 0.002081, 0.050331, 0.004719].into_iter().enumerate() {
        let values = analog.values.iter().skip(channel).step_by(4).map(|v| f64::from(*v));
        let n = 1080.0 * 152.0;
        let (sum, squares) = values.fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
        assert!((sum / n).abs() < 1e-4, "mean {}", sum / n);
        let (found, wanted) = ((squares / n).sqrt(), deviation / (deviation + 1e-3));
        assert!((found - wanted).abs() < 0.02, "channel {channel}: {found}, {wanted} wanted");
    }
    let mut trains = SpikeTrains::default();
    set.train.encode(&[3, 5], &set.grid, &mut trains);
    let values = trains.values(1);
    assert_eq!((trains.at(1, 7), values.len()), (&[0, 1, 2, 3, 4][..], 5 * 152));
    assert_eq!(values[5 * 6..5 * 7], values[5 * 7..5 * 8]);
    assert_eq!(values[5 * 7 + 4], 1.0);
    assert_eq!(values[5 * 7 + 2], analog.values[(5 * 152 + 7) * 4 + 2]);
    assert!(trains.at(1, 152).is_empty());
}

#[test]
fn random_manifolds_are_split_and_configured() {
    let mut spec = DataSpec::new(DataName::Randman);
    let task = spikeloop_models::task::randman::Randman {
        classes: 3,
        samples: 20,
        units: 5,
        alpha: 3.0,
        ..Default::default()
    };
    (spec.randman, spec.validation) = (Some(task), 6);
    let set = load(&spec, None).unwrap();
    let validation = set.validation.as_ref().unwrap();
    assert_eq!([set.train.len(), validation.len(), set.test.len()], [48, 6, 6]);
    assert_eq!((set.classes, set.inputs, set.grid.steps), (3, 5, 100));
    spec.randman = Some(spikeloop_models::task::randman::Randman { alpha: -1.0, ..task });
    assert!(load(&spec, None).unwrap_err().to_string().contains("task.randman.alpha"));
    let mut other = DataSpec::new(DataName::Digits);
    other.randman = Some(task);
    assert!(load(&other, None).unwrap_err().to_string().contains("task.randman"));
}

#[test]
fn features_are_those_behind_the_spike_times() {
    for name in [DataName::Yinyang, DataName::Digits] {
        let mut spec = DataSpec::new(name);
        (spec.train, spec.test, spec.validation) = (Some(40), Some(20), 10);
        let (spikes, features) = (load(&spec, None).unwrap(), load_features(&spec).unwrap());
        assert_eq!(spikes.train.labels, features.train.labels);
        assert_eq!(spikes.validation.unwrap().labels, features.validation.unwrap().labels);
        let analog = features.train.analog.unwrap();
        for sample in 0..40 {
            let row = &analog.values[sample * analog.channels..][..analog.channels];
            let (times, ids) = spikes.train.times.sample(sample);
            for (t, id) in
                times.iter().zip(ids).filter(|(_, id)| usize::from(**id) < analog.channels)
            {
                let x = row[usize::from(*id)];
                let wanted = match name {
                    DataName::Yinyang => 2.0 + 24.0 * x,
                    _ => 8.0 * (x / (x - 0.2)).ln(),
                };
                assert!((t - wanted).abs() < 1e-3, "{t} {wanted}");
            }
        }
    }
    assert!(load_features(&DataSpec::new(DataName::Randman)).is_err());
}
