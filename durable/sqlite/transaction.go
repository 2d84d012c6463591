package sqlite

import (
	"context"
	"fmt"

	"github.com/gatehouse-edge/gatehouse/durable"
)

func savepoint(level int) string { return fmt.Sprintf("SAVEPOINT gatehouse_%d", level) }
func release(level int) string   { return fmt.Sprintf("RELEASE gatehouse_%d", level) }
func rollback(level int) string {
	return fmt.Sprintf("ROLLBACK TO gatehouse_%d; ", level) + release(level)
}

// Depth returns how many transactions are open, one in the other.
func (d *Database) Depth() int { return d.depth }

// Begin opens a transaction over SQL and keys, within the one that is open, if one is.
func (d *Database) Begin() error {
	if err := d.storage.Begin(); err != nil {
		return err
	}
	d.depth++
	if d.conn == nil || d.rolled != nil {
		return nil // the first statement brings the connection here
	}
	if err := d.guard(func() error { return d.own(savepoint(d.depth)) }); err != nil {
		return d.abandon(err)
	}
	return nil
}

// abandon rolls the innermost transaction back because of cause, which it returns.
func (d *Database) abandon(cause error) error {
	if err := d.Rollback(); err != nil {
		return err
	}
	return cause
}

// Commit ends the innermost transaction and keeps what it wrote. After an error it is rolled back.
func (d *Database) Commit() error {
	if d.depth == 0 {
		return fmt.Errorf("%w: none is open", durable.ErrTransaction)
	}
	if d.rolled != nil {
		return d.abandon(d.rolled)
	}
	if d.conn != nil {
		err := d.guard(func() error {
			if err := d.enter(context.Background()); err != nil {
				return err
			}
			return d.own(release(d.depth))
		})
		if err != nil {
			return d.abandon(err)
		}
	}
	if err := d.storage.Commit(); err != nil {
		return err
	}
	d.ended()
	return nil
}

// Rollback ends the innermost transaction and undoes what it wrote.
func (d *Database) Rollback() error {
	if d.depth == 0 {
		return fmt.Errorf("%w: none is open", durable.ErrTransaction)
	}
	if d.conn != nil && d.rolled == nil {
		err := d.guard(func() error { return d.own(rollback(d.depth)) })
		if err != nil && d.conn != nil && (d.depth > 1 || !d.conn.GetAutocommit()) {
			d.drop()
			d.rolled = err
		}
	}
	if err := d.storage.Rollback(); err != nil {
		return err
	}
	d.ended()
	return nil
}

// ended counts a transaction out.
func (d *Database) ended() {
	d.depth--
	if d.depth == 0 {
		d.turn, d.rolled = false, nil
	}
}

// EndTurn commits the transaction that a statement began for the rest of the turn, if one did. After an error the turn's
// writes are gone, and the actor must not go on as if they were not.
func (d *Database) EndTurn() error {
	if !d.turn || d.depth > 1 {
		return nil
	}
	return d.Commit()
}
