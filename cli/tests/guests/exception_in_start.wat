(module $early
  (tag $oops)
  (func $setup (throw $oops))
  (func (export "_start"))
  (start $setup))
