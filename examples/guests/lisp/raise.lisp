; A script may raise an error of its own.
(define (checked-root n)
  (when (< n 0)
    (error "no root of a negative number:" n '(given to checked-root)))
  (let loop ((guess 0))
    (if (> (* (+ guess 1) (+ guess 1)) n) guess (loop (+ guess 1)))))
(print (checked-root 99))
(print (checked-root 100))
(print (checked-root -1))
