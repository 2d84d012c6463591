package webcrypto

import "fmt"

// Error is a failure that code sees: Name is the name of a DOMException, or TypeError.
type Error struct{ Name, Message string }

func (e *Error) Error() string { return e.Name + ": " + e.Message }

func dataError(format string, args ...any) error {
	return &Error{"DataError", fmt.Sprintf(format, args...)}
}

func operationError(format string, args ...any) error {
	return &Error{"OperationError", fmt.Sprintf(format, args...)}
}

func syntaxError(format string, args ...any) error {
	return &Error{"SyntaxError", fmt.Sprintf(format, args...)}
}

func accessError(format string, args ...any) error {
	return &Error{"InvalidAccessError", fmt.Sprintf(format, args...)}
}

func notSupported(format string, args ...any) error {
	return &Error{"NotSupportedError", fmt.Sprintf(format, args...)}
}

func typeError(format string, args ...any) error {
	return &Error{"TypeError", fmt.Sprintf(format, args...)}
}
