;; Names that would be more than names in a page for a browser.
(module $"</title><script>alert(1)</script>"
  (memory (export "memory") 1)
  (func $"</script><script>alert(2)</script><svg onload=alert(3)>\"'&" (i32.store (i32.const 0) (i32.const 1)))
  (func (export "run") (call 0)))
