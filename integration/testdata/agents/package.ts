import greet, { volume } from "tiny-greeter";
import { Mood, type Options } from "./package/mood";
import settings from "./package/settings.json";

export default {
	fetch(): Response {
		const options: Options = { mood: Mood.Glad };
		return new Response(`${greet(settings.name)} ${Mood[options.mood]} ${volume satisfies number} ${settings.numbers.at(-1)!}`);
	},
};
