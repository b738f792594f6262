;; Parses as no script at all.
(module (func (export "two")
