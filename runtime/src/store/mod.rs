//! What lives and dies together: a store's contents, the handles that name them, and the store's limits.
//!
//! Knows nothing of how calls are made.

mod handle;
mod limiter;
mod quota;
mod store;
pub(crate) mod metering;
pub(crate) mod resolve;

pub use handle::{Extern, ExternRef, Func, Global, Instance, Memory, Table};
pub use limiter::ResourceLimiter;
pub use limiter::{StoreLimits, StoreLimitsBuilder};
pub use quota::UpdateDeadline;
pub(crate) use quota::{AskLimiter, Counts};
pub use store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};
pub(crate) use store::{Failure, HostFuncData, StackLimit, StoreData, StoreInner};
