;; Imports a global of a type of its own, which is not the exporter's.
(module
  (type $circle (struct (field $radius f32)))
  (import "shapes" "origin" (global (ref $circle)))
  (func (export "_start")))
