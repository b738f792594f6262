//! Finds out which segments instructions name. The others need no flag, and no description at run
//! time.
//!
//! This has to be known before a body is validated, because the layout depends on it. Few bodies
//! name a segment, so only those are read that have the bytes for it.

use super::info::ModuleInfo;
use std::collections::BTreeSet;
use wasmparser::{FunctionBody, Operator};

/// The segments that instructions name, by their indices.
#[derive(Default)]
struct Named {
    data: BTreeSet<u32>,
    elements: BTreeSet<u32>,
}

/// Notes in the description of a module which segments its bodies name. If one cannot be read, all
/// may be: the module is refused anyway.
pub(super) fn note<'a>(info: &mut ModuleInfo, mut bodies: impl Iterator<Item = &'a FunctionBody<'a>>) {
    let publishes = info.publishes();
    let mut modes = info.data.iter().map(|it| &it.mode).chain(info.elements.iter().map(|it| &it.mode));
    if !modes.any(|mode| mode.outlives_instantiation(publishes)) {
        return;
    }
    let mut named = Named::default();
    if bodies.try_for_each(|body| named.read(body)).is_ok() {
        info.data.iter_mut().for_each(|segment| segment.named = named.data.contains(&segment.index));
        info.elements.iter_mut().for_each(|segment| segment.named = named.elements.contains(&segment.index));
    }
}

impl Named {
    fn read(&mut self, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        if !may_name(body.as_bytes()) {
            return Ok(());
        }
        for op in body.get_operators_reader()? {
            match op? {
                Operator::MemoryInit { data_index, .. } | Operator::DataDrop { data_index } => {
                    self.data.insert(data_index);
                }
                Operator::ArrayNewData { array_data_index, .. } | Operator::ArrayInitData { array_data_index, .. } => {
                    self.data.insert(array_data_index);
                }
                Operator::TableInit { elem_index, .. } | Operator::ElemDrop { elem_index } => {
                    self.elements.insert(elem_index);
                }
                Operator::ArrayNewElem { array_elem_index, .. } | Operator::ArrayInitElem { array_elem_index, .. } => {
                    self.elements.insert(array_elem_index);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns whether bytes of a body may have an instruction that names a segment. They have if one
/// does.
fn may_name(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| {
        // The number behind the prefix may be longer than it has to be. It begins with the same
        // seven bits.
        let number = pair[1] & 0x7f;
        match pair[0] {
            0xfb => matches!(number, 9 | 10 | 18 | 19),
            0xfc => matches!(number, 8 | 9 | 12 | 13),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::module::parse;
    use crate::{Compiler, Features, Settings};

    /// Returns the data and element segments that a module's instructions name.
    fn named(binary: &[u8]) -> (Vec<u32>, Vec<u32>) {
        let info = parse::parse(binary, Features::default()).unwrap().info;
        let data = info.data.iter().filter(|it| it.named).map(|it| it.index);
        (data.collect(), info.elements.iter().filter(|it| it.named).map(|it| it.index).collect())
    }

    #[test]
    fn each_instruction_with_a_segment_names_it() {
        let parameters = "(param i32 i32 i32 i32)";
        for (text, data, elements) in [
            ("(memory.init 1 (local.get 0) (local.get 0) (local.get 0))", vec![1], vec![]),
            ("(data.drop 2)", vec![2], vec![]),
            ("(drop (array.new_data $bytes 3 (local.get 0) (local.get 0)))", vec![3], vec![]),
            ("(array.init_data $bytes 4 (ref.null $bytes) (local.get 0) (local.get 0) (local.get 0))", vec![4], vec![]),
            ("(table.init 1 (local.get 0) (local.get 0) (local.get 0))", vec![], vec![1]),
            ("(elem.drop 2)", vec![], vec![2]),
            ("(drop (array.new_elem $funcs 3 (local.get 0) (local.get 0)))", vec![], vec![3]),
            ("(array.init_elem $funcs 4 (ref.null $funcs) (local.get 0) (local.get 0) (local.get 0))", vec![], vec![4]),
            ("(drop (i32.const 0xfc))", vec![], vec![]),
        ] {
            let module = format!(
                "(module (type $bytes (array (mut i8))) (type $funcs (array (mut funcref))) (memory 1)
                    (table 1 funcref) (func $f {parameters}) (func {parameters} {text}) {} {})",
                "(data \"x\")".repeat(6),
                "(elem func $f)".repeat(6)
            );
            assert_eq!(named(&wat::parse_str(&module).unwrap()), (data, elements), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_longer_than_it_has_to_be_names_a_segment_too() {
        let text = "(module (memory 1) (func (data.drop 1)) (data \"x\") (data \"y\") (data \"z\"))";
        let mut binary = wat::parse_str(text).unwrap();
        let at = binary.windows(3).position(|it| it == [0xfc, 9, 1]).unwrap();
        binary.splice(at + 1..at + 2, [0x89, 0x80, 0]);
        binary[at - 2] += 2; // The length of the body,
        binary[at - 4] += 2; // and of the section.
        assert_eq!(named(&binary), (vec![1], vec![]));
        Compiler::new(&Settings::default()).unwrap().compile(&binary).unwrap();
    }
}
