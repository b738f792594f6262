(module $plain
  (import "\1b[31mred" "two\nlines" (func))
  (func (export "\07bell") (param i32)))
