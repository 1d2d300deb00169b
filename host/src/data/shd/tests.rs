use super::*;

/// Made by h5py, see `make_tiny.py`.
const TINY: &[u8] = include_bytes!("tiny.h5");

#[test]
fn a_file_of_h5py_is_read_spike_by_spike() {
    let spoken = parse(TINY.to_vec()).unwrap();
    assert_eq!(spoken.labels, [3, 0, 19, 7]);
    assert_eq!((spoken.times.samples(), spoken.times.total()), (4, 18));
    for s in 0..4_usize {
        let (times, ids) = spoken.times.sample(s);
        assert_eq!(times.len(), 3 * s);
        for (k, (t, id)) in times.iter().zip(ids).enumerate() {
            assert_eq!(usize::from(*id), 100 * s + k);
            let wanted = (s as f64 + k as f64 / 16.0) / 8.0;
            assert_eq!(*t, (wanted * 1e6) as f32);
        }
    }
    assert_eq!((spoken.names.len(), spoken.names[19].as_str()), (20, "digit 19"));
}

#[test]
fn both_files_make_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let shd = folder.path().join("shd");
    std::fs::create_dir(&shd).unwrap();
    FILES.iter().for_each(|file| std::fs::write(shd.join(file), TINY).unwrap());
    let spec = DataSpec::new(super::super::DataName::Shd);
    let set = load(&spec, Some(folder.path())).unwrap();
    assert_eq!((set.train.len(), set.test.len(), set.classes, set.inputs), (4, 4, 20, 700));
    let mut trains = spikeloop_models::SpikeTrains::default();
    set.train.encode(&[1], &set.grid, &mut trains);
    // 125 ms, 132.8125 ms and 140.625 ms in steps of 14 ms.
    assert_eq!(
        (trains.at(0, 8), trains.at(0, 9), trains.at(0, 10)),
        (&[100][..], &[101][..], &[102][..])
    );
    assert!(load(&spec, Some(&shd.join("none"))).unwrap_err().to_string().contains("shd_train.h5"));
}

#[test]
fn damaged_files_are_refused_with_the_layout() {
    let folder = tempfile::tempdir().unwrap();
    let mut cut = TINY.to_vec();
    cut.truncate(TINY.len() / 2);
    for (name, bytes) in [("a", b"no file".to_vec()), ("b", Vec::new()), ("c", cut)] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let text = read(path).err().unwrap().to_string();
        assert!(text.contains("/spikes/times"), "{text}");
    }
}

#[test]
fn half_precision() {
    for (bits, value) in [
        (0x3c00, 1.0),
        (0xc000, -2.0),
        (0x0001, 2_f64.powi(-24)),
        (0x7bff, 65504.0),
        (0x3555, 0.333_251_953_125),
    ] {
        assert_eq!(half(bits), value);
    }
    assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
}
