; Functions that remember: counters, accounts, composition and memory of
; earlier answers.

(define (make-counter start)
  (lambda ()
    (set! start (+ start 1))
    start))

(define left (make-counter 0))
(define right (make-counter 100))
(left)
(left)
(right)
(print "left " (left) ", right " (right))

; An account answers to messages; its balance is nobody else's business.
(define (make-account balance)
  (define (deposit amount)
    (set! balance (+ balance amount))
    balance)
  (define (withdraw amount)
    (if (> amount balance)
        "not enough there"
        (deposit (- amount))))
  (lambda (message . amount)
    (cond ((eq? message 'deposit) (apply deposit amount))
          ((eq? message 'withdraw) (apply withdraw amount))
          ((eq? message 'balance) balance)
          (else (list 'unknown message)))))

(define account (make-account 50))
(print (account 'deposit 25))
(print (account 'withdraw 100))
(print (account 'withdraw 70))
(print (account 'balance))
(print (account 'close))

(define (compose . functions)
  (if (null? functions)
      (lambda (x) x)
      (lambda (x) ((car functions) ((apply compose (cdr functions)) x)))))
(define (add n) (lambda (x) (+ x n)))
(define (times n) (lambda (x) (* x n)))
(print (map (compose (add 1) (times 10) (add 2)) (range 0 6)))

; Fibonacci numbers, each worked out once.
(define (remember function)
  (let ((known '()))
    (lambda (x)
      (let ((entry (assoc x known)))
        (if entry
            (cdr entry)
            (let ((answer (function x)))
              (set! known (cons (cons x answer) known))
              answer))))))
(define fibonacci
  (remember (lambda (n)
              (if (< n 2)
                  n
                  (+ (fibonacci (- n 1)) (fibonacci (- n 2)))))))
(print "fibonacci of 80 is " (fibonacci 80))

; let evaluates before it binds, let* goes one by one.
(define x 1)
(print (let ((x 10) (y x)) (list x y)) " " (let* ((x 10) (y x)) (list x y)))
