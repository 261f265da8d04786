// Asks a model server through the AI SDK (packages ai, @ai-sdk/openai-compatible, zod), as
// benchmarks/clients.py does through other clients. The exit code is 1 if a request failed.
//
// Usage: node benchmarks/clients.mjs URL MODEL
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [url, name] = process.argv.slice(2);
const server = createOpenAICompatible({
  name: "slipway",
  baseURL: `${url}/v1`,
  apiKey: "none",
  supportsStructuredOutputs: true,
});
const shared = { model: server(name), temperature: 0, maxOutputTokens: 60, maxRetries: 0 };
const question = "What is the capital of Japan?";
const weather = tool({
  description: "Return the weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => "-3 degrees, snow",
});

const requests = {
  chat: async () => (await generateText({ ...shared, prompt: question })).text,
  stream: async () => {
    let text = "";
    for await (const piece of streamText({ ...shared, prompt: question }).textStream) text += piece;
    return text;
  },
  form: async () => {
    const schema = z.object({ city: z.string(), is_large: z.boolean() });
    return (await generateObject({ ...shared, schema, prompt: question })).object;
  },
  tools: async () => {
    const { steps, text } = await generateText({
      ...shared,
      prompt: "What is the weather in Oslo?",
      tools: { weather },
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber ? "auto" : "required" }),
      stopWhen: stepCountIs(2),
    });
    return [steps[0].toolCalls.map((call) => call.input), text];
  },
};

for (const [asked, ask] of Object.entries(requests)) {
  const given = await ask().catch((error) => {
    process.exitCode = 1;
    return `FAILED: ${error.name}: ${error.message}`;
  });
  console.log("AI SDK    ", asked.padEnd(8), JSON.stringify(given).slice(0, 120));
}
