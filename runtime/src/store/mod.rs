//! Holds what lives and dies together: a store's contents, the handles that name them, and the
//! store's limits.
//!
//! Knows nothing of how calls are made.

mod handle;
pub(crate) mod exceptions;
mod limiter;
mod extras;
mod activation;
mod by_address;
mod stack_limit;
mod heap;
mod store;
mod context;
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
pub use handle::{ExnRef, Extern, ExternRef, Func, Global, Instance, Memory, Table, Tag};
pub(crate) use handle::{ExnReference, StoreId};
pub(crate) use heap::Heap;
pub use limiter::{LimitExceeded, ResourceLimiter, StoreLimits, StoreLimitsBuilder};
pub(crate) use stack_limit::StackLimit;
pub use store::Store;
pub(crate) use store::{Failure, HostFuncData, StoreData, StoreInner};
pub use thrown::{RootScope, ThrownException};
