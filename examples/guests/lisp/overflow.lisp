; Numbers have 63 bits, and growing past that is an error.
(define (factorial n)
  (if (= n 0) 1 (* n (factorial (- n 1)))))
(print (factorial 19))
(print (- (factorial 19)))
(print (factorial 25))
