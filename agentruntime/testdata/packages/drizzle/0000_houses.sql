CREATE TABLE `houses` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`name` text NOT NULL,
	`open` integer DEFAULT true NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `houses_name_unique` ON `houses` (`name`);
--> statement-breakpoint
CREATE TABLE `guests` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`house` integer NOT NULL,
	`about` text NOT NULL,
	`at` integer NOT NULL,
	FOREIGN KEY (`house`) REFERENCES `houses`(`id`) ON UPDATE no action ON DELETE cascade
);
