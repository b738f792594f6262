; A parenthesis is missing, so the last list never ends.
(print "this still runs")
(define (twice x)
  (* 2 x)
(print (twice 21))
