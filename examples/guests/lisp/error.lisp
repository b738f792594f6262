; Ends with a type error three calls deep; the message names the line.

(define (average numbers)
  (quotient (fold + 0 numbers)
            (length numbers)))

(define (report name numbers)
  (display name)
  (display ": ")
  (print (average numbers)))

(report "good" '(1 2 3 4 5))
(report "bad" '(1 2 "three" 4))
(print "not reached")
