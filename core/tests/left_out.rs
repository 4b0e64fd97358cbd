//! A build without the feature `every-operator` or `every-format` refuses what it leaves out.

use tinception_core::error::{FormatError, ImageError};
use tinception_core::format::step::{self, Step, Unknown};
use tinception_core::image::{Picture, PixelFormat, Size};
use tinception_core::include_model;
use tinception_core::model::Model;
use tinception_core::session::Session;

#[test]
fn operators_that_are_left_out_are_refused() {
    let every = Model::new(include_model!("golden/every_operator.tin"));
    if cfg!(feature = "every-operator") {
        assert!(every.is_ok());
    } else {
        assert!(matches!(every, Err(FormatError::Operator { .. } | FormatError::Step { .. })), "{every:?}");
    }
    // LRN, addition, rescale, sigmoid; 8 is nobody's yet.
    for operator in [3, 4, 5, 7, 8] {
        let mut record = [0; step::SIZE];
        record[0] = operator;
        let parsed = Step::parse(&record);
        match cfg!(feature = "every-operator") && operator < 8 {
            true => assert!(parsed.is_ok(), "{operator}"),
            false => assert_eq!(parsed, Err(Unknown::Operator(operator))),
        }
    }
    let nano = Model::new(include_model!("../../models/artefacts/nano.tin")).expect("every build has its operators");
    assert_eq!(nano.steps().count(), nano.step_count());
}

#[test]
#[cfg_attr(miri, ignore = "ten million products take it half an hour")]
fn steps_that_run_one_after_the_other_have_the_same_bits() {
    // Without `every-operator` fewer steps run together.
    let nano = Model::new(include_model!("../../models/artefacts/nano.tin")).expect("every build has its operators");
    let mut arena = vec![0xA5; nano.arena_size()];
    let mut session = Session::new(&nano, &mut arena).expect("a large enough arena");
    assert_eq!(session.self_test(), Ok(None));
}

#[test]
fn pictures_that_are_left_out_are_refused() {
    let (size, data) = (Size::new(2, 2), [0; 12]);
    for (format, bytes) in [(PixelFormat::Rgb888, 3), (PixelFormat::Yuyv, 2), (PixelFormat::Grey, 1)] {
        let picture = Picture::new(format, size, 2 * bytes, &data);
        if cfg!(feature = "every-format") {
            assert!(picture.is_ok());
        } else {
            assert_eq!(picture.err(), Some(ImageError::LeftOut));
        }
    }
    for format in [PixelFormat::Rgb565Le, PixelFormat::Rgb565Be] {
        assert!(Picture::new(format, size, 4, &data).is_ok());
    }
}
