//! Holds what lives and dies together: a store's contents, the handles that name them, and the
//! store's limits.
//!
//! Knows nothing of how calls are made.

mod handle;
mod roots;
pub(crate) mod host_values;
pub(crate) mod exceptions;
mod limiter;
mod extras;
mod activation;
mod by_address;
mod stack_limit;
mod heap;
mod store;
mod context;
mod rooted;
mod thrown;
mod stack;
pub(crate) mod resolve;
pub(crate) mod quota;
mod fuel;
pub(crate) mod epoch;

pub(crate) use activation::Activation;
pub use context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
pub(crate) use exceptions::Exceptions;
pub use extras::UpdateDeadline;
pub(crate) use handle::ExnReference;
pub use handle::{Extern, Func, Global, Instance, Memory, Table, Tag};
pub(crate) use heap::{Heap, ObjectHeader};
pub use limiter::{LimitExceeded, ResourceLimiter, StoreLimits, StoreLimitsBuilder};
pub use rooted::{
    AnyRef, ArrayRef, EqRef, ExnRef, ExternRef, GcRef, OwnedRooted, RootScope, Rooted, RootedGcRef, StructRef,
};
pub(crate) use roots::Root;
pub(crate) use stack_limit::StackLimit;
pub use store::Store;
pub(crate) use store::{Failure, HostFuncData, StoreData, StoreInner};
pub use thrown::ThrownException;
