//! Which model runs.

use tinception_core::model::Model;

use crate::log;

/// The model of `candidate`, say of a flash page that is written in the field, or the one built in where the candidate is
/// damaged. `None` where both are: nothing can run then.
#[must_use]
pub fn pick<'m>(candidate: &'m [u8], built_in: &'m [u8]) -> Option<Model<'m>> {
    match Model::new(candidate) {
        Ok(model) => return Some(model),
        Err(_error) => log::warn!("the model in flash is damaged; the built-in one runs"),
    }
    match Model::new(built_in) {
        Ok(model) => Some(model),
        Err(_error) => {
            log::warn!("the built-in model is damaged too");
            None
        }
    }
}
