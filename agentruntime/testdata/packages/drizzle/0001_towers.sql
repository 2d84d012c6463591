PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_houses` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`name` text NOT NULL,
	`open` integer DEFAULT true NOT NULL,
	`towers` integer DEFAULT 1 NOT NULL
);
--> statement-breakpoint
INSERT INTO `__new_houses`("id", "name", "open") SELECT "id", "name", "open" FROM `houses`;--> statement-breakpoint
DROP TABLE `houses`;--> statement-breakpoint
ALTER TABLE `__new_houses` RENAME TO `houses`;--> statement-breakpoint
PRAGMA foreign_keys=ON;--> statement-breakpoint
CREATE UNIQUE INDEX `houses_name_unique` ON `houses` (`name`);
