; Uses a variable that nobody has defined.
(define (area radius)
  (* pie radius radius))
(print "before")
(print (area 10))
