//! Objects of the host and the guest, made, changed and forgotten at random, beside a model of
//! them.

use minirt::{
    AnyRef, Config, Engine, ExternRef, FieldType, HeapType, Instance, Module, Mutability, OwnedRooted, RefType,
    RootScope, Rooted, Store, StructRef, StructRefPre, StructType, Val, ValType,
};
use std::num::NonZeroU32;

/// A node has a number, another node, and a value of the host.
const GUEST: &str = r#"(module
    (type $node (struct (field (mut i32)) (field (mut anyref)) (field (mut externref))))
    (type $bytes (array (mut i8)))
    (global $kept (mut (ref null $node)) (ref.null $node))
    (func (export "copy") (param $it anyref) (result (ref $node)) (local $node (ref $node))
        (local.set $node (ref.cast (ref $node) (local.get $it)))
        (drop (array.new $bytes (i32.const 1) (i32.const 100)))
        (struct.new $node (struct.get $node 0 (local.get $node)) (struct.get $node 1 (local.get $node))
            (struct.get $node 2 (local.get $node))))
    (func (export "swap") (param $it (ref null $node)) (result (ref null $node)) (local $old (ref null $node))
        (local.set $old (global.get $kept))
        (global.set $kept (local.get $it))
        (drop (array.new $bytes (i32.const 1) (i32.const 1000)))
        (local.get $old)))"#;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }
}

/// A node as it must be.
#[derive(Clone, Debug)]
struct Node {
    number: i32,
    next: Option<usize>,
    value: Option<u32>,
}

#[derive(Clone)]
enum Held {
    Scoped(Rooted<StructRef>),
    Owned(OwnedRooted<StructRef>),
}

impl Held {
    fn rooted(&self, store: &mut RootScope<&mut Store<()>>) -> Rooted<StructRef> {
        match self {
            Self::Scoped(it) => *it,
            Self::Owned(it) => it.to_rooted(store),
        }
    }
}

/// Compares a node, and those behind it, with what they must be.
fn check(store: &mut RootScope<&mut Store<()>>, nodes: &[Node], held: &Held, node: usize) {
    let mut scope = RootScope::new(&mut *store);
    let mut at = match held {
        Held::Scoped(it) => *it,
        Held::Owned(it) => it.to_rooted(&mut scope),
    };
    let mut node = node;
    for _ in 0..20 {
        let expected = &nodes[node];
        let fields: Vec<Val> = at.fields(&scope).unwrap().collect();
        assert_eq!(fields[0].unwrap_i32(), expected.number);
        let value = fields[2].unwrap_externref();
        let value = value.map(|value| *value.data(&scope).unwrap().unwrap().downcast_ref::<u32>().unwrap());
        assert_eq!(value, expected.value);
        match (fields[1].unwrap_anyref(), expected.next) {
            (Some(next), Some(expected)) => (at, node) = (next.unwrap_struct(&scope).unwrap(), expected),
            (None, None) => break,
            other => panic!("{other:?}"),
        }
    }
}

fn run(engine: &Engine, seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut outer = Store::new(engine, ());
    let guest = Instance::new(&mut outer, &Module::new(engine, GUEST).unwrap(), &[]).unwrap();
    let nullable = |heap| ValType::Ref(RefType::new(true, heap));
    let field = |ty: ValType| FieldType::new(Mutability::Var, ty);
    let fields = [ValType::I32, nullable(HeapType::Any), nullable(HeapType::Extern)].map(field);
    let pre = StructRefPre::new(&outer, StructType::new(fields));
    let copy = guest.get_typed_func::<Rooted<AnyRef>, Rooted<StructRef>>(&outer, "copy").unwrap();
    let swap = guest.get_typed_func::<Option<Rooted<StructRef>>, Option<Rooted<StructRef>>>(&outer, "swap").unwrap();
    let mut nodes: Vec<Node> = Vec::new();
    let mut owned: Vec<(OwnedRooted<StructRef>, usize)> = Vec::new();
    let mut kept: Option<usize> = None;
    for _ in 0..steps / 20 {
        let mut store = RootScope::new(&mut outer);
        let mut held: Vec<(Held, usize)> = owned.iter().map(|(it, node)| (Held::Owned(it.clone()), *node)).collect();
        for _ in 0..20 {
            let some = (!held.is_empty()).then(|| held[random.below(held.len().max(1))].clone());
            match (random.below(8), some) {
                (0 | 1, some) => {
                    let number = random.below(1000) as i32;
                    let value = (random.below(3) == 0).then(|| random.below(1000) as u32);
                    let next = some.filter(|_| random.below(2) == 0);
                    let reference = next.as_ref().map(|(next, _)| next.rooted(&mut store).to_anyref());
                    let external = value.map(|value| ExternRef::new(&mut store, value).unwrap());
                    let fields = [number.into(), reference.into(), external.into()];
                    let it = StructRef::new(&mut store, &pre, &fields).unwrap();
                    nodes.push(Node { number, next: next.map(|(_, node)| node), value });
                    held.push((Held::Scoped(it), nodes.len() - 1));
                }
                (2, Some((it, node))) => {
                    let it = it.rooted(&mut store);
                    let copied = copy.call(&mut store, it.to_anyref()).unwrap();
                    nodes.push(nodes[node].clone());
                    held.push((Held::Scoped(copied), nodes.len() - 1));
                }
                (3, some) => {
                    let given = some.as_ref().map(|(it, _)| it.rooted(&mut store));
                    let old = swap.call(&mut store, given).unwrap();
                    assert_eq!(old.is_some(), kept.is_some());
                    if let Some((old, node)) = old.zip(kept) {
                        held.push((Held::Scoped(old), node));
                    }
                    kept = some.map(|(_, node)| node);
                }
                (4, Some((it, node))) => {
                    let (other, target) = held[random.below(held.len())].clone();
                    let other = other.rooted(&mut store);
                    it.rooted(&mut store).set_field(&mut store, 1, other.into()).unwrap();
                    nodes[node].next = Some(target);
                }
                (5, Some((it, node))) => {
                    let it = it.rooted(&mut store).to_owned_rooted(&mut store).unwrap();
                    owned.push((it, node));
                }
                (6, _) if !owned.is_empty() => drop(owned.swap_remove(random.below(owned.len()))),
                (7, Some((it, node))) => check(&mut store, &nodes, &it, node),
                _ => minirt::AsContextMut::as_context_mut(&mut store).gc(),
            }
        }
        held.iter().for_each(|(it, node)| check(&mut store, &nodes, it, *node));
    }
}

#[test]
fn what_the_host_holds_is_what_it_must_be_whatever_is_collected() {
    for zeal in [None, Some(1), Some(3)] {
        let mut config = Config::new();
        config.wasm_gc(true).gc_zeal_alloc_counter(zeal.and_then(NonZeroU32::new)).unwrap();
        let engine = Engine::new(&config).unwrap();
        (1_u64..=10).for_each(|seed| run(&engine, 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed), 400));
    }
}
