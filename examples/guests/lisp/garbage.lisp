; Makes far more cells and strings than the heap may hold at once, while some
; data has to survive. Run with a small --heap to see the collector at work.

(define keep (map (lambda (n) (list n (number->string n))) (range 0 300)))

(define (churn rounds)
  (let loop ((left rounds) (sum 0))
    (if (= left 0)
        sum
        (let* ((numbers (range 0 200))
               (texts (map (lambda (n) (string-append "<" (number->string n) ">")) numbers)))
          (loop (- left 1)
                (+ sum (fold (lambda (total text) (+ total (string-length text))) 0 texts)))))))

(print "sum of the lengths: " (churn 300))

; A ring: each pair can be reached from the others, but none from outside.
(define (ring n)
  (let ((first (list n)))
    (set-cdr! first (cons (- n) first))
    (car (cdr (cdr first)))))
(print "rings: " (fold + 0 (map ring (range 0 2000))))

(define (intact? entry)
  (string=? (cadr entry) (number->string (car entry))))
(print "what was kept is intact: " (= (length (filter intact? keep)) 300))
(define before (collect))
(set! keep '())
(print "cells set free: " (- before (collect)))
