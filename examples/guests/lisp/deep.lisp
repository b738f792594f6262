; Recursion that is deep, tail calls that are endless, and finally recursion
; that is both, which the interpreter has to stop.

(define (count-down n) (if (= n 0) 'done (count-down (- n 1))))
(print "a million tail calls: " (count-down 1000000))

(define (sum-to n) (if (= n 0) 0 (+ n (sum-to (- n 1)))))
(print "50000 calls inside each other: " (sum-to 50000))

(define (ping n) (cond ((= n 0) 'ping) (else (pong (- n 1)))))
(define (pong n) (and #t (or #f (begin 'nothing (ping (- n 1))))))
(print "tail calls through cond, and, or, begin: " (ping 100000))

(define (for-ever n)
  (+ 1 (for-ever (+ n 1))))
(for-ever 0)
(print "not reached")
